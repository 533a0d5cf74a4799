//! The next three commands to type.
//!
//! Owns: choosing commands that work from where the user is. Never: names a file that is not there or that one of the
//! commands before does not make.

use std::path::Path;

/// The example agency, from the repository's root.
const EXAMPLE: &str = "examples/agency";
/// Directory in which the suggested demo leaves its agency.
const KEEP: &str = "openrtc-demo";

/// A path as it can be typed into a shell.
fn typed(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+=@%:,".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// How the executable can be called from `here`: by name if `search` finds it, else by its path.
fn program(executable: &Path, here: &Path, search: Option<&str>) -> String {
    let same = |candidate: &Path| {
        candidate.canonicalize().is_ok_and(|found| executable.canonicalize().is_ok_and(|it| it == found))
    };
    let name = executable.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let on_path = |dirs: &str| {
        let first = dirs.split(':').map(|dir| Path::new(dir).join(&name)).find(|candidate| candidate.is_file());
        first.is_some_and(|candidate| same(&candidate))
    };
    if search.is_some_and(on_path) {
        return typed(&name);
    }
    let path = executable.strip_prefix(here).map_or_else(
        |_| executable.display().to_string(),
        |below| {
            if below.components().count() > 1 { below.display().to_string() } else { format!("./{}", below.display()) }
        },
    );
    typed(&path)
}

/// Where the user is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The working directory.
    pub here: &'a Path,
    /// The search path for programs.
    pub search: Option<&'a str>,
    /// Whether the supervisor has a runtime directory without being told one: root has, and who has a session.
    pub runtime_dir: bool,
}

/// Three commands that work when typed in this order; the supervisor that one runs is for the next in another terminal.
pub fn commands(executable: &Path, place: Place<'_>, kept: Option<&Path>) -> [String; 3] {
    let program = program(executable, place.here, place.search);
    let file = |agency: &str, name: &str| typed(&format!("{agency}/{name}"));
    let doctor = format!("{program} doctor");
    let run = |agency: &str| format!("{program} run --config {}", file(agency, "openrtc-supervisor.toml"));
    let dispatch = |agency: &str, options: &str| {
        let input = file(agency, "call.wav");
        let session = "--tenant acme-corp --agent support --room acme-corp_support-1";
        format!("{program}{options} dispatch {session} --input {input} --wait")
    };
    if let Some(kept) = kept.map(|kept| kept.display().to_string()) {
        let socket = format!(" --control-socket {}", file(&kept, "run/control.sock"));
        return [doctor, run(&kept), dispatch(&kept, &socket)];
    }
    if place.runtime_dir && place.here.join(EXAMPLE).join("openrtc-supervisor.toml").is_file() {
        return [doctor, run(EXAMPLE), dispatch(EXAMPLE, "")];
    }
    [doctor, format!("{program} demo --keep {KEEP}"), run(KEEP)]
}

/// The example of Python agents, from the repository's root.
const PYTHON_EXAMPLE: &str = "examples/python/openrtc-supervisor.toml";

/// What to type after real calls: a server to go on with, and a supervisor that is its worker.
pub fn calls(executable: &Path, place: Place<'_>, server: &Path) -> Vec<String> {
    let program = program(executable, place.here, place.search);
    let server = typed(&server.display().to_string());
    let mut commands =
        vec![format!("{program} doctor"), format!("{server} --dev --bind 127.0.0.1 --node-ip 127.0.0.1")];
    if place.here.join(PYTHON_EXAMPLE).is_file() {
        let keys = "LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret";
        commands.push(format!("{keys} {program} run --config {PYTHON_EXAMPLE}"));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(here: &Path) -> Place<'_> {
        Place { here, search: None, runtime_dir: true }
    }

    #[test]
    fn in_an_empty_folder_the_second_command_makes_what_the_third_needs() {
        let here = tempfile::tempdir().unwrap();
        let commands = commands(Path::new("/opt/openrtc-supervisor"), at(here.path()), None);
        assert_eq!(commands[1], "/opt/openrtc-supervisor demo --keep openrtc-demo");
        assert_eq!(commands[2], "/opt/openrtc-supervisor run --config openrtc-demo/openrtc-supervisor.toml");
    }

    #[test]
    fn in_the_repository_the_example_agency_is_run() {
        let here = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(here.path().join(EXAMPLE)).unwrap();
        std::fs::write(here.path().join(EXAMPLE).join("openrtc-supervisor.toml"), "").unwrap();
        let executable = here.path().join("target/release/openrtc-supervisor");
        let homeless = Place { runtime_dir: false, ..at(here.path()) };
        assert!(commands(&executable, homeless, None)[1].ends_with("demo --keep openrtc-demo"));
        let commands = commands(&executable, at(here.path()), None);
        assert_eq!(commands[0], "target/release/openrtc-supervisor doctor");
        assert!(commands[2].ends_with("--input examples/agency/call.wav --wait"), "{}", commands[2]);
    }

    #[test]
    fn a_program_that_the_search_path_finds_first_is_called_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let executable = dir.path().join("openrtc-supervisor");
        std::fs::write(&executable, "").unwrap();
        let search = format!("/nowhere:{}", dir.path().display());
        assert_eq!(program(&executable, Path::new("/"), Some(&search)), "openrtc-supervisor");
        assert_eq!(program(&executable, dir.path(), Some("/nowhere")), "./openrtc-supervisor");
    }

    #[test]
    fn an_odd_path_is_quoted() {
        let commands = commands(Path::new("/a b/it's"), at(Path::new("/")), Some(Path::new("my agency")));
        assert_eq!(commands[0], "'a b/it'\\''s' doctor");
        assert!(commands[1].ends_with("--config 'my agency/openrtc-supervisor.toml'"), "{}", commands[1]);
        assert!(commands[2].contains("--control-socket 'my agency/run/control.sock' dispatch"), "{}", commands[2]);
    }
}

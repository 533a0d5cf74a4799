//! Which files an operator's command line means: program, interpreter, scripts, and the folders they lie in.
//!
//! Owns: resolving names through a fixed search path. Never: uses the supervisor's own `PATH`, or runs anything.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use openrtc_ipc::ApplicationTarget;

/// Where bare names are looked up, and what hosts get as `PATH`.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest first line of a script that is read, as in the kernel.
const SHEBANG_BYTES_MAX: usize = 256;
/// Interpreters of interpreters: the kernel's own bound is 4.
const DEPTH_MAX: usize = 4;
/// What there is of a virtual environment, where not all of the folder is the environment's.
const ENVIRONMENT_PARTS: [&str; 7] = ["bin", "etc", "include", "lib", "lib64", "pyvenv.cfg", "share"];
/// Folders that are never an application's: too much lies in them, and what is needed of them is granted anyway.
const NO_FOLDERS: [&str; 10] = ["/", "/usr", "/bin", "/sbin", "/lib", "/etc", "/home", "/root", "/tmp", "/var"];

/// What libraries of Python read of the machine when they are imported: LiveKit its share of the cores, without which it
/// does not import, and ONNX Runtime what the processor can do. `/proc/self` is not among them, nor is memory.
const MACHINE: [&str; 5] = [
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
];

/// What a host will run, as configured; paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramFiles {
    /// Command lines: the runtime's program, or each agent's.
    pub commands: Vec<Vec<String>>,
    /// Application folders named by the operator.
    pub folders: Vec<PathBuf>,
    /// Further files that it cannot do without.
    pub needed: Vec<PathBuf>,
    /// What its libraries read of the machine where they can; none of it is needed.
    pub machine: Vec<PathBuf>,
    /// Never granted, whatever is: our configuration, `tenants.d`, state and runtime directories, key files.
    pub hidden: Vec<PathBuf>,
}

impl ProgramFiles {
    /// What a Python host runs: its interpreter and its application. Of an application that lies in a home or in a folder
    /// of the system, its own module alone is granted, and nothing beside it.
    pub fn python(interpreter: &Path, target: &ApplicationTarget) -> Self {
        let mut command = vec![interpreter.display().to_string()];
        let mut files = Self { machine: MACHINE.iter().map(PathBuf::from).collect(), ..Self::default() };
        match target {
            ApplicationTarget::Script(script) => command.push(script.display().to_string()),
            ApplicationTarget::AgentsDir(folder) => files.folders.push(folder.clone()),
            ApplicationTarget::Attribute { folder, .. } if is_application(folder) => files.folders.push(folder.clone()),
            ApplicationTarget::Attribute { folder, module, .. } => {
                let top = module.split('.').next().unwrap_or_default();
                files.needed.push(folder.join(format!("{top}.py")));
                files.folders.push(folder.join(top));
            }
        }
        files.commands.push(command);
        files
    }
}

/// Where a program's name leads; `None` when it leads nowhere.
pub fn resolve(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    SEARCH_PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|path| executable(path))
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Files and folders that the commands cannot do without: programs, interpreters with their libraries, scripts.
pub(super) fn needed(program: &ProgramFiles) -> Vec<PathBuf> {
    let mut found = program.needed.clone();
    let applications = folders(program);
    for command in &program.commands {
        let Some(path) = command.first().and_then(|name| resolve(name)) else { continue };
        add_program(&path, DEPTH_MAX, &applications, &mut found);
        found.extend(scripts(command));
    }
    found
}

fn add_program(path: &Path, depth: usize, applications: &[PathBuf], found: &mut Vec<PathBuf>) {
    if found.iter().any(|known| known == path) {
        return;
    }
    found.push(path.to_owned());
    found.extend(libraries(path, applications));
    if depth == 0 {
        return;
    }
    for interpreter in interpreters(path) {
        add_program(&interpreter, depth - 1, applications, found);
    }
}

/// What lies beside a program that brings its own libraries: a virtual environment with its base, or `<prefix>/lib`.
///
/// An environment that holds an application is granted in parts: `.env` lies in it too.
fn libraries(program: &Path, applications: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    for path in [program, &real] {
        let Some(prefix) = path.parent().filter(|bin| bin.ends_with("bin")).and_then(Path::parent) else { continue };
        if NO_FOLDERS.iter().any(|folder| prefix == Path::new(folder)) {
            continue;
        }
        let environment = prefix.join("pyvenv.cfg");
        if let Ok(text) = std::fs::read_to_string(&environment) {
            if applications.iter().any(|folder| folder.starts_with(prefix)) {
                found.extend(ENVIRONMENT_PARTS.map(|part| prefix.join(part)).into_iter().filter(|path| path.exists()));
            } else {
                found.push(prefix.to_owned());
            }
            let home = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"));
            let base = home.and_then(|(_, bin)| Path::new(bin.trim()).parent().map(Path::to_owned));
            // Some bases bring certificates or time zones of their own beside their libraries.
            let whole = |base: &Path| is_application(base) && !applications.iter().any(|it| it.starts_with(base));
            found.extend(base.map(|base| if whole(&base) { base } else { base.join("lib") }));
        } else {
            found.extend(["lib", "lib64"].map(|library| prefix.join(library)).into_iter().filter(|path| path.is_dir()));
        }
    }
    if real != program {
        found.push(real);
    }
    found
}

/// The programs that the first line of a script names: the interpreter, and what `env` would find.
fn interpreters(script: &Path) -> Vec<PathBuf> {
    let mut bytes = [0; SHEBANG_BYTES_MAX];
    let count = File::open(script).and_then(|mut file| file.read(&mut bytes)).unwrap_or(0);
    let Some(rest) = bytes[..count].strip_prefix(b"#!") else { return Vec::new() };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let Some(interpreter) = words.next().map(PathBuf::from) else { return Vec::new() };
    let mut found = Vec::new();
    if interpreter.ends_with("env") {
        let name = words.find(|word| !word.starts_with('-') && !word.contains('='));
        found.extend(name.and_then(resolve));
    }
    found.push(interpreter);
    found
}

/// Arguments that are files: what an interpreter is given to run.
fn scripts(command: &[String]) -> impl Iterator<Item = PathBuf> {
    command.iter().skip(1).filter(|word| word.starts_with('/')).map(PathBuf::from).filter(|path| path.is_file())
}

/// Folders of the application: those named, and those of the scripts.
pub(super) fn folders(program: &ProgramFiles) -> Vec<PathBuf> {
    let mut found = program.folders.clone();
    for command in &program.commands {
        let own = command.first().and_then(|name| resolve(name)).filter(|path| !interpreters(path).is_empty());
        let folders = own.into_iter().chain(scripts(command)).filter_map(|path| path.parent().map(Path::to_owned));
        found.extend(folders.filter(|folder| is_application(folder)));
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a script's folder may be walked as an application's: not a home and not a folder of the system.
fn is_application(folder: &Path) -> bool {
    let system = ["/usr", "/bin", "/sbin", "/lib", "/etc"].iter().any(|root| folder.starts_with(root));
    let home = folder.parent() == Some(Path::new("/home")) || folder.join(".ssh").exists();
    !system && !home && !NO_FOLDERS.iter().any(|root| folder == Path::new(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn script(folder: &Path, name: &str, first_line: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, format!("{first_line}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn with(command: &[&str]) -> ProgramFiles {
        let command = command.iter().map(ToString::to_string).collect();
        ProgramFiles { commands: vec![command], ..ProgramFiles::default() }
    }

    #[test]
    fn a_script_brings_its_interpreter_and_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let agent = script(root.path(), "agent", "#!/usr/bin/env -S sh");
        let program = with(&[agent.to_str().unwrap()]);
        let needed = needed(&program);
        assert!(needed.contains(&agent) && needed.contains(&PathBuf::from("/usr/bin/env")), "{needed:?}");
        assert!(needed.iter().any(|path| path.ends_with("sh")), "{needed:?}");
        assert_eq!(folders(&program), [root.path().to_owned()]);
    }

    #[test]
    fn an_interpreters_argument_is_the_application() {
        let root = tempfile::tempdir().unwrap();
        let agent = script(root.path(), "agent.py", "");
        let program = with(&["sh", agent.to_str().unwrap(), "--flag", "/no/such/file"]);
        assert!(needed(&program).contains(&agent));
        assert_eq!(folders(&program), [root.path().to_owned()]);
    }

    #[test]
    fn a_home_is_no_application() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        let agent = script(home.path(), "agent.sh", "#!/bin/sh");
        assert_eq!(folders(&with(&[agent.to_str().unwrap()])), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_virtual_environment_comes_with_its_base() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("venv/bin")).unwrap();
        fs::write(root.path().join("venv/pyvenv.cfg"), "home = /opt/python/bin\nversion = 3\n").unwrap();
        let python = script(&root.path().join("venv/bin"), "python", "");
        let needed = needed(&with(&[python.to_str().unwrap()]));
        assert!(needed.contains(&root.path().join("venv")), "{needed:?}");
        assert!(needed.contains(&PathBuf::from("/opt/python")), "{needed:?}");
    }

    fn venv(root: &Path, at: &str, home: &str) -> PathBuf {
        let environment = root.join(at);
        fs::create_dir_all(environment.join("bin")).unwrap();
        fs::create_dir_all(environment.join("lib")).unwrap();
        fs::write(environment.join("pyvenv.cfg"), format!("home = {home}\n")).unwrap();
        script(&environment.join("bin"), "python", "")
    }

    #[test]
    fn a_python_host_gets_its_environment_its_base_and_its_applications_folder() {
        let root = tempfile::tempdir().unwrap();
        let python = venv(root.path(), ".venv", "/opt/python/bin");
        let main = script(root.path(), "main.py", "");
        let files = ProgramFiles::python(&python, &ApplicationTarget::Script(main.clone()));
        let needed = needed(&files);
        for path in [&python, &main, &root.path().join(".venv"), &PathBuf::from("/opt/python")] {
            assert!(needed.contains(path), "{path:?}: {needed:?}");
        }
        assert_eq!(folders(&files), [root.path().to_owned()]);
        assert!(files.machine.iter().all(|path| !path.starts_with("/proc/self")), "{:?}", files.machine);
    }

    #[test]
    fn an_environment_in_the_applications_own_folder_is_granted_in_parts() {
        let root = tempfile::tempdir().unwrap();
        let python = venv(root.path(), "", "/usr/bin");
        fs::write(root.path().join(".env"), "KEY=x").unwrap();
        let main = script(root.path(), "main.py", "");
        let needed = needed(&ProgramFiles::python(&python, &ApplicationTarget::Script(main)));
        assert!(needed.contains(&root.path().join("lib")) && needed.contains(&PathBuf::from("/usr/lib")), "{needed:?}");
        assert!(!needed.iter().any(|path| root.path().starts_with(path)), "{needed:?}");
    }

    #[test]
    fn of_a_module_in_a_home_nothing_beside_it_is_granted() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        let target = |folder: &Path| ApplicationTarget::Attribute {
            folder: folder.to_owned(),
            module: "agency.pools".to_owned(),
            attribute: "pool".to_owned(),
        };
        let files = ProgramFiles::python(Path::new("/usr/bin/python3"), &target(home.path()));
        assert_eq!(folders(&files), [home.path().join("agency")]);
        assert_eq!(files.needed, [home.path().join("agency.py")]);
        let elsewhere = tempfile::tempdir().unwrap();
        let files = ProgramFiles::python(Path::new("/usr/bin/python3"), &target(elsewhere.path()));
        assert_eq!(folders(&files), [elsewhere.path().to_owned()]);
    }

    #[test]
    fn bare_names_are_looked_up_in_the_fixed_path_only() {
        assert_eq!(resolve("no-such-program-anywhere"), None);
        assert!(resolve("sh").is_some_and(|path| path.is_absolute()));
    }
}

//! `completions` and `man`: made of the command line's own definition.
//!
//! Owns: where they go. Never: says anything of a command that its help does not.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use serde::Serialize;

use super::Cli;
use super::exit::{CliError, Exit};
use super::output::Output;

/// Options of `completions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  openrtc-supervisor completions bash \\
    > /usr/share/bash-completion/completions/openrtc-supervisor
  openrtc-supervisor completions zsh > ~/.zfunc/_openrtc-supervisor
  openrtc-supervisor completions fish \\
    > ~/.config/fish/completions/openrtc-supervisor.fish")]
pub struct CompletionOptions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  openrtc-supervisor man | man -l -
  openrtc-supervisor man --out /usr/local/share/man/man1")]
pub struct ManOptions {
    /// Write a page for each command into this directory, in place of the first one to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// For bash, clap_complete 4.6 spells a dash in the program's name in two ways: once where it notes which command it has
/// read, and once where it looks up what may follow, so that nothing would.
const BASH_STATE: &str = "openrtc__supervisor";
const BASH_LABEL: &str = "openrtc__subcmd__supervisor";

/// What was made.
#[derive(Debug, Default, Serialize)]
struct Made {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<PathBuf>,
}

pub(super) fn completions(options: &CompletionOptions, output: &Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    let script = String::from_utf8_lossy(&script).replace(BASH_LABEL, BASH_STATE);
    print(script.into_bytes(), output)
}

pub(super) fn man(options: &ManOptions, output: &Output) -> Result<Exit, CliError> {
    let mut command = Cli::command();
    // Without it the commands do not know their full names, nor the options of every command.
    command.build();
    let Some(dir) = &options.out else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(CliError::Output)?;
        return print(page, output);
    };
    let mut files = Vec::new();
    pages(&command, "", dir, &mut files)?;
    output.note(&format!("written: {} pages in {}", files.len(), dir.display()));
    if output.json() {
        output.result(&Made { files, ..Made::default() }, |_, _| String::new())?;
    }
    Ok(Exit::Ok)
}

fn print(text: Vec<u8>, output: &Output) -> Result<Exit, CliError> {
    let text = String::from_utf8_lossy(&text).into_owned();
    output.result(&Made { text: Some(text), ..Made::default() }, |_, made| made.text.clone().unwrap_or_default())?;
    Ok(Exit::Ok)
}

/// The page of a command, and those of its own commands: `openrtc-supervisor-session-list.1`.
fn pages(command: &Command, parent: &str, dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let name =
        if parent.is_empty() { command.get_name().to_owned() } else { format!("{parent}-{}", command.get_name()) };
    let path = dir.join(format!("{name}.1"));
    let failed = |source: io::Error| CliError::File { option: "--out", path: path.clone(), source };
    let mut page = Vec::new();
    Man::new(command.clone()).title(name.clone()).render(&mut page).map_err(failed)?;
    std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, page)).map_err(failed)?;
    files.push(path);
    let own = command.get_subcommands().filter(|command| command.get_name() != "help");
    own.into_iter().try_for_each(|command| pages(command, &name, dir, files))
}

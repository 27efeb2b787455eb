//! The service exec: which program, in which surroundings; and the kinds of
//! value that say it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, Shown, items, wrong_type};
use super::mistake::Mistake;
use super::system::{System, reason};
use super::wording::{abridged, quote};

/// The `[pool.NAME.exec]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The program that was found, absolute.
    pub program: PathBuf,
    /// The command as it was written, with a path made absolute; at least one,
    /// the program's own name first.
    pub command: Vec<String>,
    /// Where it runs, absolute.
    pub directory: PathBuf,
    /// Variables, `NAME=value`.
    pub environment: Vec<String>,
    /// Variables of the server's environment that are passed on.
    pub pass: Vec<String>,
    /// Where its standard error goes.
    pub stderr: StandardError,
    /// How long a session may take; zero is for ever.
    pub timeout: Duration,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Permission bits that its files do not get, 0..=0o777.
    pub umask: u32,
    /// Added to the nice value, 0..=19.
    pub nice: u8,
    /// Address space of each process, in octets.
    pub memory: Option<u64>,
    /// Processor time of each process, in whole seconds.
    pub processor_time: Option<Duration>,
    /// Descriptors of each process.
    pub open_files: Option<u64>,
    /// Processes of its user.
    pub processes: Option<u64>,
    /// The largest file it may write, in octets.
    pub file_size: Option<u64>,
    /// The largest core file, in octets.
    pub core: u64,
}

impl Exec {
    /// `command` as a table with nothing else would have it, run in `base`, from
    /// where a relative path counts too.
    ///
    /// # Errors
    /// What is wrong with the program.
    pub fn of_command(
        mut command: Vec<String>,
        base: &Path,
        system: &dyn System,
    ) -> Result<Self, String> {
        let name = command.first().cloned().unwrap_or_default();
        let program = if name.contains('/') {
            let path: PathBuf = base.join(&name).components().collect();
            system
                .is_program(&path)
                .map_err(|error| format!("the program {}: {}", path.display(), reason(&error)))?;
            let text = path.to_str();
            let text = text.ok_or("the path of the program is not UTF-8")?;
            if let Some(first) = command.first_mut() {
                text.clone_into(first);
            }
            path
        } else {
            let path = path_of(&[], &["PATH".to_owned()], system.variable("PATH"));
            let mut places = places(&name, &path).into_iter();
            let found = places.find(|place| system.is_program(place).is_ok());
            found
                .ok_or_else(|| format!("there is no program {} in PATH={path}", abridged(&name)))?
        };
        let mut exec = Self::with_defaults(program, command);
        exec.directory = base.to_owned();
        Ok(exec)
    }
}

/// Where the standard error of a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardError {
    /// To the log.
    Log,
    /// To the client.
    Socket,
}

/// The PATH in which a name is looked for if nobody says another.
pub const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The PATH that a program will have: of its own variables, of those passed on,
/// or the usual one.
pub(crate) fn path_of(environment: &[String], pass: &[String], servers: Option<String>) -> String {
    let own = environment
        .iter()
        .find_map(|line| line.strip_prefix("PATH="));
    let servers = servers.filter(|_| pass.iter().any(|name| name == "PATH"));
    own.map(str::to_owned)
        .or(servers)
        .unwrap_or_else(|| USUAL_PATH.to_owned())
}

/// Where a program of this name may be: the name itself if it has a slash.
/// Empty and relative entries of a PATH are left out: what they mean would
/// depend on where the server was started.
pub(crate) fn places(name: &str, path: &str) -> Vec<PathBuf> {
    let directories = path.split(':').map(Path::new);
    directories
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .collect()
}

/// A command: an array of texts, the first of them not empty.
pub(crate) struct Arguments;

/// `NAME=value`, an array or one.
pub(crate) struct Assignments;

/// Names of variables, an array or one.
pub(crate) struct Passed;

/// Who decides over a variable that nobody may set.
fn decided(name: &str) -> Option<&'static str> {
    const BY_CONNECTION: &[&str] = &["PROTO", "REMOTE_ADDR", "REMOTE_PORT"];
    if BY_CONNECTION.contains(&name) || name.starts_with("TCP") || name.starts_with("UNIX") {
        Some("the connection decides it")
    } else if name.starts_with("LISTEN_") || name == "NOTIFY_SOCKET" {
        Some("it is between the service manager and the server")
    } else {
        None
    }
}

fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = |byte: u8| inside(byte) && !byte.is_ascii_digit();
    text.bytes().next().is_some_and(begins) && text.bytes().all(inside)
}

/// Reads an array of texts, each of which `judge` may object to.
fn texts(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    expected: &str,
    found: &mut Vec<Mistake>,
    judge: impl Fn(&str) -> Result<(), &'static str>,
) -> Option<Vec<String>> {
    let before = found.len();
    let mut all = Vec::new();
    for item in items(value) {
        let Some(text) = item.get_ref().as_str() else {
            found.push(wrong_type(name, item, expected));
            continue;
        };
        let judged = if text.contains('\0') {
            Err("no NUL can stand there")
        } else {
            judge(text)
        };
        if let Err(why) = judged {
            let message = format!("`{name}` cannot hold {}", abridged(text));
            found.push(Mistake::error(item.span(), message, why));
        }
        all.push(text.to_owned());
    }
    (found.len() == before).then_some(all)
}

fn show(value: &[String]) -> Shown {
    Shown::array(value.iter().map(|text| quote(text)))
}

impl Kind<Vec<String>> for Arguments {
    fn expected(&self) -> String {
        "an array such as [\"/usr/bin/prog\", \"argument\"]".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<String>> {
        let expected = Kind::<Vec<String>>::expected(self);
        // A text would raise the question who takes it apart.
        if value.get_ref().as_array().is_none() {
            found.push(wrong_type(name, value, &expected));
            return None;
        }
        let all = texts(name, value, &expected, found, |_| Ok(()))?;
        if all.first().is_none_or(String::is_empty) {
            let message = format!("`{name}` has no program");
            found.push(Mistake::error(
                value.span(),
                message,
                format!("expected {expected}"),
            ));
            return None;
        }
        Some(all)
    }

    fn show(&self, value: &Vec<String>) -> Shown {
        show(value)
    }
}

impl Kind<Vec<String>> for Assignments {
    fn expected(&self) -> String {
        "an array such as [\"LANG=C.UTF-8\"]".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<String>> {
        let expected = Kind::<Vec<String>>::expected(self);
        let before = found.len();
        let all = texts(name, value, &expected, found, |text| {
            match text.split_once('=') {
                Some((name, _)) if is_name(name) => decided(name).map_or(Ok(()), Err),
                Some(_) | None => {
                    Err("expected NAME=value, the name of letters, digits and underscores")
                }
            }
        })?;
        let names: Vec<&str> = all
            .iter()
            .filter_map(|line| line.split('=').next())
            .collect();
        if let Some(twice) = names
            .iter()
            .enumerate()
            .find(|(at, one)| names[..*at].contains(one))
        {
            let message = format!("`{name}` has {} twice", abridged(twice.1));
            found.push(Mistake::error(
                value.span(),
                message,
                "leave out one of the two",
            ));
        }
        (found.len() == before).then_some(all)
    }

    fn show(&self, value: &Vec<String>) -> Shown {
        show(value)
    }
}

impl Kind<Vec<String>> for Passed {
    fn expected(&self) -> String {
        "an array of names such as [\"PATH\"]".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<String>> {
        let expected = Kind::<Vec<String>>::expected(self);
        texts(name, value, &expected, found, |text| match decided(text) {
            Some(why) => Err(why),
            None if is_name(text) => Ok(()),
            None => Err("expected letters, digits and underscores"),
        })
    }

    fn show(&self, value: &Vec<String>) -> Shown {
        show(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::tests::read;
    use super::*;

    #[test]
    fn commands_are_arrays_and_variables_have_names() {
        let command = read(&Arguments, "['/bin/sh', '-c', '']");
        assert_eq!(command.map(|all| all.len()), Ok(3));
        for text in ["'/bin/cat'", "[]", "['']", "3"] {
            assert!(read(&Arguments, text).is_err(), "{text}");
        }
        let lines = ["A=", "_b1=x=y"].map(str::to_owned).to_vec();
        assert_eq!(read(&Assignments, "['A=', '_b1=x=y']"), Ok(lines));
    }

    fn mistakes(kind: &impl Kind<Vec<String>>, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(value) = DeValue::parse(text) {
            kind.read("key", &value, &mut found);
        }
        found.into_iter().map(|one| one.expected).collect()
    }

    #[test]
    fn nobody_sets_what_the_connection_decides() {
        for name in ["PROTO", "TCPREMOTEIP", "UNIXREMOTEPID", "REMOTE_ADDR"] {
            let why = ["the connection decides it"];
            assert_eq!(mistakes(&Passed, &format!("['{name}']")), why);
            assert_eq!(mistakes(&Assignments, &format!("['{name}=1']")), why);
        }
        for name in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"] {
            assert_eq!(mistakes(&Passed, &format!("['{name}']")).len(), 1);
        }
        for text in [
            "['A']",
            "['1=2']",
            "['=x']",
            "['A=1', 'A=2']",
            "[\"A=\\u0000\"]",
        ] {
            assert_eq!(mistakes(&Assignments, text).len(), 1, "{text}");
        }
        for text in ["['A=b']", "['']", "['a b']"] {
            assert_eq!(mistakes(&Passed, text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_name_is_looked_for_in_the_programs_own_path() {
        let (own, pass) = (vec!["PATH=/own::x:/b".to_owned()], vec!["PATH".to_owned()]);
        let servers = || Some("/servers".to_owned());
        assert_eq!(path_of(&own, &pass, servers()), "/own::x:/b");
        assert_eq!(path_of(&[], &pass, servers()), "/servers");
        assert_eq!(path_of(&[], &[], servers()), USUAL_PATH);
        assert_eq!(path_of(&[], &pass, None), USUAL_PATH);
        let found = places("cat", "/own::x:/b");
        assert_eq!(found, [Path::new("/own/cat"), Path::new("/b/cat")]);
    }
}

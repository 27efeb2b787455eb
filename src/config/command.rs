//! Commands that a configuration names: where the program is, and which variables
//! it gets; and the kinds of value that say it.
//!
//! Owes one way to find a program, and one wording, for whatever service runs it,
//! in a file and on a command line.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, Shown, each, wrong_type};
use super::mistake::Mistake;
use super::system::{System, reason};
use super::wording::{abridged, quote};

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
fn places(name: &str, path: &str) -> Vec<PathBuf> {
    let directories = path.split(':').map(Path::new);
    directories
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .collect()
}

/// As [`find`], for a command that no file has: with nothing but the PATH of the
/// server passed on.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn find_here(
    command: Vec<String>,
    base: &Path,
    system: &dyn System,
) -> Result<(PathBuf, Vec<String>), String> {
    let path = path_of(&[], &["PATH".to_owned()], system.variable("PATH"));
    find(command, &path, base, system).map_err(|(message, _)| message)
}

/// The program of a `command`, and the command with a path made absolute, which
/// counts from `base`; a name without a slash is looked for in `path`.
///
/// # Errors
/// What is wrong with it, and what was expected.
pub(crate) fn find(
    mut command: Vec<String>,
    path: &str,
    base: &Path,
    system: &dyn System,
) -> Result<(PathBuf, Vec<String>), (String, &'static str)> {
    let name = command.first().cloned().unwrap_or_default();
    if !name.contains('/') {
        let mut places = places(&name, path).into_iter();
        let found = places.find(|place| system.is_program(place).is_ok());
        return found.map(|found| (found, command)).ok_or_else(|| {
            let message = format!("there is no program {} in PATH={path}", abridged(&name));
            (message, "expected one of these, or a path with a slash")
        });
    }
    let path: PathBuf = base.join(&name).components().collect();
    if let Err(error) = system.is_program(&path) {
        let message = format!("the program {}: {}", path.display(), reason(&error));
        return Err((message, "expected a file that can be executed"));
    }
    let Some(text) = path.to_str() else {
        let message = format!("the path of the program {} is not UTF-8", path.display());
        return Err((message, "expected another one"));
    };
    if let Some(first) = command.first_mut() {
        text.clone_into(first);
    }
    Ok((path, command))
}

/// A command: an array of texts, the first of them not empty.
pub(crate) struct Arguments;

/// `NAME=value`, an array or one; but for those over which somebody else decides.
pub(crate) struct Assignments(pub(crate) Decided);

/// Names of variables, an array or one; as there.
pub(crate) struct Passed(pub(crate) Decided);

/// Who decides over a variable that nobody may set.
type Decided = fn(&str) -> Option<&'static str>;

fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = |byte: u8| inside(byte) && !byte.is_ascii_digit();
    text.bytes().next().is_some_and(begins) && text.bytes().all(inside)
}

/// Reads an array of texts, each of which `judge` may object to.
pub(super) fn texts(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    expected: &str,
    found: &mut Vec<Mistake>,
    judge: impl Fn(&str) -> Result<(), &'static str>,
) -> Option<Vec<String>> {
    each(name, value, expected, found, |text| {
        let judged = if text.contains('\0') {
            Err("no NUL can stand there")
        } else {
            judge(text)
        };
        let cannot = || format!("`{name}` cannot hold {}", abridged(text));
        judged
            .map(|()| text.to_owned())
            .map_err(|why| (cannot(), why))
    })
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
                Some((name, _)) if is_name(name) => (self.0)(name).map_or(Ok(()), Err),
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
        texts(name, value, &expected, found, |text| match (self.0)(text) {
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
        assert_eq!(read(&Assignments(|_| None), "['A=', '_b1=x=y']"), Ok(lines));
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

//! The kinds of value that name a place: where to listen, where to log.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::file::listen::ListenTable;
use super::kind::{At, FilePath, Kind, Shown, cannot_be, items, string};
use super::mistake::Mistake;
use super::table::Shorthand;
use super::wording::{abridged, nearest, quote};
use super::{Listen, address};

/// Where a log goes, before paths are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Off,
    Stderr,
    Syslog,
    File(PathBuf),
}

/// `to`: a word, or a path.
pub(crate) struct TargetKind;

/// `address`.
pub(crate) struct Address;

/// `listen`: one address or several, each as text or as a table.
pub(crate) struct Listens;

impl Kind<Target> for TargetKind {
    fn expected(&self) -> String {
        "\"stderr\", \"syslog\", \"off\" or a path".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Target> {
        let text = string(name, value, || self.expected(), found)?;
        match text {
            "off" => return Some(Target::Off),
            "stderr" => return Some(Target::Stderr),
            "syslog" => return Some(Target::Syslog),
            _ => {}
        }
        // A misspelt word must not become a file that fills up unseen.
        if text.bytes().all(|b| b.is_ascii_alphabetic()) {
            let guess = match nearest(text, ["off", "stderr", "syslog"].into_iter()) {
                Some(word) => format!("did you mean \"{word}\"? "),
                None => String::new(),
            };
            let expected = format!(
                "{guess}expected {}; a file of that name is \"./{text}\"",
                self.expected()
            );
            return cannot_be(name, value, text, expected, found);
        }
        FilePath.read(name, value, found).map(Target::File)
    }

    fn show(&self, value: &Target) -> Shown {
        match value {
            Target::Off => Shown::Value(quote("off")),
            Target::Stderr => Shown::Value(quote("stderr")),
            Target::Syslog => Shown::Value(quote("syslog")),
            Target::File(path) => FilePath.show(path),
        }
    }
}

impl Kind<Listen> for Address {
    fn expected(&self) -> String {
        address::EXPECTED
            .strip_prefix("expected ")
            .unwrap_or(address::EXPECTED)
            .to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Listen> {
        let text = string(name, value, || self.expected(), found)?;
        match address::parse_listen(text) {
            Ok(listen) => Some(listen),
            Err(why) => {
                let message = format!("{} is not an address to listen on", abridged(text));
                found.push(Mistake::error(value.span(), message, why));
                None
            }
        }
    }

    fn show(&self, value: &Listen) -> Shown {
        Shown::Value(quote(&value.to_string()))
    }
}

impl Kind<Vec<At<ListenTable>>> for Listens {
    fn expected(&self) -> String {
        "an address such as \"127.0.0.1:8080\" or \"unix:PATH\", or an array of them".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<At<ListenTable>>> {
        let before = found.len();
        let mut list = Vec::new();
        for item in items(value) {
            let kind = Shorthand("an address, or a table { address = …, proxy_protocol = …, … }");
            if let Some(value) = kind.read(name, item, found) {
                list.push(At {
                    value,
                    span: item.span(),
                });
            }
        }
        if list.is_empty() && found.len() == before {
            let expected = "expected at least one address such as \"127.0.0.1:8080\"";
            found.push(Mistake::error(
                value.span(),
                format!("`{name}` is empty"),
                expected,
            ));
        }
        Some(list)
    }

    fn show(&self, value: &Vec<At<ListenTable>>) -> Shown {
        if value.is_empty() {
            return Shown::Unset("required");
        }
        let mut items = Vec::new();
        for item in value {
            match Shorthand("").show(&item.value) {
                Shown::Value(text) => items.push(text),
                Shown::Unset(_) | Shown::Apart => {}
            }
        }
        Shown::array(items)
    }
}

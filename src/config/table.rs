//! How a table of the file is declared: one list that reading, writing and the
//! manual all follow.
//!
//! Owes that a key exists once, with its kind, its default and its sentence.
//! What the tables are is said next door, in `file`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kind::{Kind, Shown, wrong_type};
use super::mistake::{Mistake, Span};
use super::wording::{nearest, printable};

/// What the manual says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The table it stands in, as a header or as the key of an inline table.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What a value looks like, to follow the word "expected".
    pub expected: String,
    /// The value it has if it is left out, as a file would say it.
    pub default: Option<String>,
    /// What holds if it is left out and there is no such value, in words.
    pub otherwise: &'static str,
    /// One sentence on what it does.
    pub help: &'static str,
}

/// The value of a key: what was given, or the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<T> {
    pub(crate) value: T,
    /// `None` if the file does not say.
    pub(crate) given: Option<Given>,
}

/// Where the file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) key: Span,
    pub(crate) value: Span,
    /// It could be read. If not, the default stands in, and what depends on
    /// this key cannot be judged.
    pub(crate) right: bool,
}

impl<T> Entry<T> {
    /// A value that no file gave.
    pub(crate) const fn of(value: T) -> Self {
        Self { value, given: None }
    }

    /// Whether the value is what was meant: given and read, or left out.
    pub(crate) fn is_sound(&self) -> bool {
        self.given.as_ref().is_none_or(|given| given.right)
    }

    /// Where the value stands, or else the place to point at instead.
    pub(crate) fn span(&self, otherwise: &Span) -> Span {
        match &self.given {
            Some(given) => given.value.clone(),
            None => otherwise.clone(),
        }
    }

    /// Takes the value of a file. A wrong one leaves the default, so that the
    /// checks that follow can go on and find what else is wrong.
    pub(crate) fn take(
        &mut self,
        kind: &impl Kind<T>,
        name: &str,
        key: Span,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) {
        let read = kind.read(name, value, found);
        self.given = Some(Given {
            key,
            value: value.span(),
            right: read.is_some(),
        });
        if let Some(value) = read {
            self.value = value;
        }
    }
}

/// A table of the file, its values typed.
pub(crate) trait Table: Default {
    /// What the manual calls it.
    const HEADER: &'static str;

    /// The names of its keys, in the order of the manual.
    const NAMES: &'static [&'static str];

    /// Reads one key; false if the table has none of that name.
    fn set(
        &mut self,
        name: &str,
        key: Span,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> bool;

    /// Where the file says the key of this name, if it does.
    fn given(&self, name: &str) -> Option<&Given>;

    /// Every key with its value.
    fn shown(&self) -> Vec<(&'static str, Shown)>;

    /// What the manual says of every key.
    fn keys() -> Vec<Key>;

    /// Reads all keys, in the order of the file; `place` is what messages call
    /// this table.
    fn read(entries: &DeTable<'_>, place: &str, found: &mut Vec<Mistake>) -> Self {
        let mut table = Self::default();
        for (key, value) in in_order(entries) {
            let name = key.get_ref().as_ref();
            if !table.set(name, key.span(), value, found) {
                found.push(unknown_key(key.span(), name, place, Self::NAMES));
            }
        }
        table
    }
}

/// Declares a table: a struct of entries, and its [`Table`].
///
/// A line is `name: type = kind, default, "sentence";`.
macro_rules! table {
    (
        $(#[$attribute:meta])*
        $Name:ident in $header:literal {
            $( $key:ident: $type:ty = $kind:expr, $default:expr, $help:literal; )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $Name {
            $( #[doc = $help] pub(crate) $key: $crate::config::table::Entry<$type>, )*
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $key: $crate::config::table::Entry::of($default), )* }
            }
        }

        impl $crate::config::table::Table for $Name {
            const HEADER: &'static str = $header;
            const NAMES: &'static [&'static str] = &[$( stringify!($key) ),*];

            fn set(
                &mut self,
                name: &str,
                key: $crate::config::mistake::Span,
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                found: &mut Vec<$crate::config::mistake::Mistake>,
            ) -> bool {
                match name {
                    $( stringify!($key) => self.$key.take(&$kind, name, key, value, found), )*
                    _ => return false,
                }
                true
            }

            fn given(&self, name: &str) -> Option<&$crate::config::table::Given> {
                match name {
                    $( stringify!($key) => self.$key.given.as_ref(), )*
                    _ => None,
                }
            }

            fn shown(&self) -> Vec<(&'static str, $crate::config::kind::Shown)> {
                use $crate::config::kind::Kind;
                vec![$( (
                    stringify!($key),
                    Kind::<$type>::show(&$kind, &self.$key.value),
                ) ),*]
            }

            fn keys() -> Vec<$crate::config::table::Key> {
                use $crate::config::kind::Kind;
                vec![$( $crate::config::table::key(
                    $header,
                    stringify!($key),
                    Kind::<$type>::expected(&$kind),
                    Kind::<$type>::show(&$kind, &$default),
                    $help,
                ) ),*]
            }
        }
    };
}
pub(crate) use table;

/// A row of the manual.
pub(crate) fn key(
    table: &'static str,
    name: &'static str,
    expected: String,
    default: Shown,
    help: &'static str,
) -> Key {
    let (default, otherwise) = match default {
        Shown::Value(text) => (Some(text), ""),
        Shown::Unset(what) => (None, what),
        Shown::Apart => (None, "a table of its own"),
    };
    Key {
        table,
        name,
        expected,
        default,
        otherwise,
        help,
    }
}

/// The entries in the order of the file; the parser keeps them sorted by name.
pub(crate) fn in_order<'t, 'i>(
    entries: &'t DeTable<'i>,
) -> Vec<(
    &'t Spanned<toml::de::DeString<'i>>,
    &'t Spanned<DeValue<'i>>,
)> {
    let mut list: Vec<_> = entries.iter().collect();
    list.sort_by_key(|(key, _)| key.span().start);
    list
}

/// The mistake of a key that the table does not have.
pub(crate) fn unknown_key(key: Span, name: &str, place: &str, names: &[&'static str]) -> Mistake {
    let message = format!("unknown key `{}` in {place}", printable(name));
    let expected = if let Some(near) = nearest(name, names.iter().copied()) {
        format!("did you mean `{near}`?")
    } else if let Some(table) = super::file::home_of(name) {
        format!("`{name}` belongs to {table}")
    } else {
        format!("expected one of: {}", names.join(", "))
    };
    Mistake::error(key, message, expected)
}

/// A table in place of a value, with a header of its own or inline.
pub(crate) struct SubTable;

impl<T: Table> Kind<T> for SubTable {
    fn expected(&self) -> String {
        format!("the table {}", T::HEADER)
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<T> {
        let Some(entries) = value.get_ref().as_table() else {
            found.push(wrong_type(name, value, &Kind::<T>::expected(self)));
            return None;
        };
        Some(T::read(entries, &format!("`{name}`"), found))
    }

    fn show(&self, _: &T) -> Shown {
        Shown::Apart
    }
}

/// A table whose first key may stand for the whole: `log = "syslog"` is
/// `log = { to = "syslog" }`.
pub(crate) struct Shorthand(pub(crate) &'static str);

impl<T: Table> Kind<T> for Shorthand {
    fn expected(&self) -> String {
        self.0.to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<T> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(T::read(entries, &format!("`{name}`"), found)),
            DeValue::String(_) => {
                let mut table = T::default();
                let first = T::NAMES.first().copied().unwrap_or_default();
                table.set(first, value.span(), value, found);
                Some(table)
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                found.push(wrong_type(name, value, self.0));
                None
            }
        }
    }

    fn show(&self, value: &T) -> Shown {
        let mut pairs = Vec::new();
        for (name, shown) in value.shown() {
            match shown {
                Shown::Value(text) => pairs.push((name, text)),
                Shown::Unset(_) | Shown::Apart => {}
            }
        }
        if let [(_, only)] = pairs.as_slice() {
            return Shown::Value(only.clone());
        }
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, text)| format!("{name} = {text}"))
            .collect();
        Shown::Value(format!("{{ {} }}", pairs.join(", ")))
    }
}

//! The files of src/ as a reader of paths sees them: code without comments,
//! literals and tests. It knows just enough of Rust for this repository's own
//! style, and must never need a compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One file, without comments, literals and tests.
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) name: String,
    /// `config::check::listen`; `lib` and `main` for the two roots.
    pub(crate) module: String,
    pub(crate) code: String,
}

/// A path in the code: `crate::net::Listener`.
pub(crate) struct Used {
    pub(crate) line: usize,
    /// Where it stands, counted in tokens.
    span: std::ops::Range<usize>,
    pub(crate) segments: Vec<String>,
}

impl Used {
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }

    /// The module or item that it names, from the root of the crate; `None` for
    /// other crates, and for the root itself.
    pub(crate) fn target(&self, from: &str) -> Option<String> {
        let mut base: Vec<&str> = from.split("::").collect();
        let mut rest = self.segments.iter().map(String::as_str).peekable();
        match rest.next()? {
            "crate" | "preforkd" => base.clear(),
            "super" => {
                base.pop();
                while rest.next_if_eq(&"super").is_some() {
                    base.pop();
                }
            }
            _ => return None,
        }
        base.extend(rest);
        (!base.is_empty()).then(|| base.join("::"))
    }
}

impl Source {
    /// Lines of code with this text, as places.
    pub(crate) fn lines_with(&self, text: &str) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| line.contains(text))
            .map(|(index, line)| format!("{}:{}: {}", self.name, index + 1, line.trim()))
            .collect()
    }

    /// Every path that leads somewhere, with lists in braces taken apart: those
    /// that begin in a crate, then those that begin with a module which stands
    /// below this one or was brought in by a `use`.
    pub(crate) fn paths(&self, modules: &BTreeSet<String>) -> Vec<Used> {
        const CRATES: &[&str] = &[
            "crate",
            "super",
            "preforkd",
            "std",
            "nix",
            "libc",
            "socket2",
            "signal_hook",
            "syslog",
        ];
        let tokens = tokens(&self.code);
        let roots = CRATES
            .iter()
            .map(|name| ((*name).to_owned(), vec![(*name).to_owned()]));
        let mut found = self.paths_from(&tokens, &roots.collect());
        let mut near = BTreeMap::new();
        let brought = found.iter().filter_map(|used| used.target(&self.module));
        for module in modules
            .iter()
            .filter(|one| self.is_parent_of(one))
            .cloned()
            .chain(brought)
        {
            let segments = std::iter::once("crate").chain(module.split("::"));
            let name = module.rsplit("::").next().unwrap_or_default();
            if modules.contains(&module) {
                near.insert(name.to_owned(), segments.map(str::to_owned).collect());
            }
        }
        // What stands inside a longer path has been seen.
        let mut more = self.paths_from(&tokens, &near);
        more.retain(|one| !found.iter().any(|seen| seen.span.contains(&one.span.start)));
        found.extend(more);
        found
    }

    /// Every path whose first word is among `roots`, which say what stands for
    /// it.
    fn paths_from(
        &self,
        tokens: &[(usize, &str)],
        roots: &BTreeMap<String, Vec<String>>,
    ) -> Vec<Used> {
        let mut found = Vec::new();
        for (index, (line, token)) in tokens.iter().enumerate() {
            let follows = index > 0 && tokens[index - 1].1 == "::";
            let leads = tokens.get(index + 1).is_some_and(|(_, next)| *next == "::");
            let Some(start) = roots.get(*token).filter(|_| leads && !follows) else {
                continue;
            };
            let mut end = index + 2;
            let mut expanded = Vec::new();
            expand(tokens, &mut end, start.clone(), &mut expanded);
            let used = |segments| Used {
                line: *line,
                span: index..end,
                segments,
            };
            found.extend(expanded.into_iter().map(used));
        }
        found
    }

    /// Whether `module` stands directly below this one.
    fn is_parent_of(&self, module: &str) -> bool {
        match module.rsplit_once("::") {
            Some((parent, _)) => parent == self.module,
            None => self.module == "lib" && module != "lib" && module != "main",
        }
    }
}

/// Reads one path from `position` on, with its lists, after `prefix`.
fn expand(
    tokens: &[(usize, &str)],
    position: &mut usize,
    mut prefix: Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    let at = |position: usize| tokens.get(position).map_or("", |(_, token)| *token);
    loop {
        let token = at(*position);
        if token == "{" {
            *position += 1;
            while !matches!(at(*position), "}" | "") {
                expand(tokens, position, prefix.clone(), found);
                if at(*position) == "," {
                    *position += 1;
                }
            }
            *position += 1;
            return;
        }
        if !is_word(token) {
            // A glob, or type arguments: the path ends here.
            if token == "*" {
                *position += 1;
            }
            break;
        }
        *position += 1;
        if token != "self" {
            prefix.push(token.to_owned());
        }
        if at(*position) != "::" {
            if at(*position) == "as" {
                *position += 2;
            }
            break;
        }
        *position += 1;
    }
    found.push(prefix);
    // Whatever else stood there in a list is none of ours: on to its end.
    while !matches!(at(*position), "," | "}" | ";" | "") && !is_word(at(*position)) {
        *position += 1;
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Words, `::`, and every other sign by itself, with their lines from 1.
pub(crate) fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(rest) {
                rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_')
                    .unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, tail) = rest.split_at(length);
            found.push((index + 1, token));
            rest = tail.trim_start();
        }
    }
    found
}

/// All files of src/ that are not for tests alone.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    assert!(files.len() > 20, "src/ is not where it was");
    let mut only_tests = BTreeSet::new();
    let mut sources = Vec::new();
    for path in files {
        let name = path
            .strip_prefix(root)
            .map_or_else(|_| String::new(), |path| path.display().to_string());
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut code = bare(&text);
        let module = module_of(&name);
        for test in remove_tests(&mut code) {
            only_tests.insert(match module.as_str() {
                "lib" => test,
                module => format!("{module}::{test}"),
            });
        }
        sources.push(Source { name, module, code });
    }
    let is_test = |module: &str| {
        only_tests.iter().any(|test| {
            module
                .strip_prefix(test.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    };
    sources.retain(|source| !is_test(&source.module));
    sources
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}

/// `src/config/check/listen.rs` is `config::check::listen`.
fn module_of(name: &str) -> String {
    let name = name.trim_start_matches("src/").trim_end_matches(".rs");
    name.trim_end_matches("/mod").replace('/', "::")
}

/// The text with comments, and the insides of literals, blank; lines stay.
fn bare(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code
            .chars()
            .next_back()
            .is_some_and(|last| last.is_alphanumeric());
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment_length(rest),
            '"' => 1 + closing(&rest[1..], '"'),
            'r' if !after_word && rest[1..].trim_start_matches('#').starts_with('"') => {
                raw_length(rest)
            }
            '\'' => character_length(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        code.extend(rest[..length].chars().filter(|sign| *sign == '\n'));
        code.push(' ');
        rest = &rest[length..];
    }
    code
}

/// The octets up to and with the unescaped `end`.
fn closing(text: &str, end: char) -> usize {
    let mut escaped = false;
    for (index, sign) in text.char_indices() {
        if sign == end && !escaped {
            return index + end.len_utf8();
        }
        escaped = sign == '\\' && !escaped;
    }
    text.len()
}

fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(0, char::len_utf8);
        }
        if depth == 0 || at >= text.len() {
            return at;
        }
    }
}

fn raw_length(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let begin = hashes + 2;
    let end = format!("\"{}", "#".repeat(hashes));
    text[begin..]
        .find(&end)
        .map_or(text.len(), |at| begin + at + end.len())
}

/// A character's literal; 0 for a lifetime.
fn character_length(text: &str) -> usize {
    let inside = &text[1..];
    let first = inside.chars().next().map_or(0, char::len_utf8);
    if inside.starts_with('\\') || inside[first..].starts_with('\'') {
        1 + closing(inside, '\'')
    } else {
        0
    }
}

/// Blanks every item that is built for tests and fuzzing alone; answers the
/// modules that it declares in files of their own.
fn remove_tests(code: &mut String) -> Vec<String> {
    const MARKS: [&str; 2] = ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"];
    let mut declared = Vec::new();
    while let Some(begin) = MARKS.iter().find_map(|mark| code.find(mark)) {
        let mut depth = 0;
        let mut end = code.len();
        for (index, sign) in code[begin..].char_indices() {
            match sign {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(sign, ';' | '}') {
                end = begin + index + 1;
                break;
            }
        }
        let item = &code[begin..end];
        if let Some((_, name)) = item.trim_end_matches(';').rsplit_once("mod ")
            && item.ends_with(';')
        {
            declared.push(name.trim().to_owned());
        }
        let blank: String = item.chars().filter(|sign| *sign == '\n').collect();
        code.replace_range(begin..end, &blank);
    }
    declared
}

#[test]
fn the_reader_of_sources_sees_code_alone() {
    let text = r##"
//! crate::a
use crate::{b::{self, C as D}, e::*}; /* crate::f /* */ crate::g */
fn h<'h>(i: &'h str) -> char { '"' }
const J: &str = "crate::k \" crate::l"; const M: &str = r#"crate::n"#;
#[cfg(test)]
mod tests { use crate::o; fn p() {} }
#[cfg(any(test, fuzzing))]
mod q;
fn r() { super::s::T::new::<crate::u::V>(); std::net::IpAddr::V4; b::w::X }
"##;
    let mut code = bare(text);
    assert_eq!(remove_tests(&mut code), ["q"]);
    let source = Source {
        name: String::new(),
        module: "x::y".to_owned(),
        code,
    };
    let paths = source.paths(&["b", "x", "x::y"].map(str::to_owned).into());
    let found: Vec<(usize, String)> = paths.iter().map(|used| (used.line, used.text())).collect();
    let expected = [
        (3, "crate::b"),
        (3, "crate::b::C"),
        (3, "crate::e"),
        (10, "super::s::T::new"),
        (10, "crate::u::V"),
        (10, "std::net::IpAddr::V4"),
        (10, "crate::b::w::X"),
    ];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    let target = paths.iter().filter_map(|used| used.target("x::y")).nth(3);
    assert_eq!(target.as_deref(), Some("x::s::T::new"));
}

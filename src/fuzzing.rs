//! What must hold for any octets whatever: one function a piece of grammar,
//! each of which takes octets and panics where a promise is broken.
//!
//! Built for tests and for cargo-fuzz alone. A function is a target of the same
//! name in fuzz/, and its corpus in tests/corpus/ is replayed by the tests
//! below; an input that once broke something belongs there.

pub use crate::client::http::fuzzing::{address, answer};
pub use crate::config::fuzzing::{configuration, htpasswd, media_types};
pub use crate::log::fuzzing::log_line;
pub use crate::protocol::http::fuzzing::{
    accept_encoding, authorization, cgi_output, chunked, conditional, escape, forwarded, listing,
    range, request, target,
};
pub use crate::protocol::proxy::fuzzing::{proxied, proxy_header};

/// A piece of grammar and what must hold for it.
pub type Target = (&'static str, fn(&[u8]));

/// Every one, by its name.
pub const TARGETS: &[Target] = &[
    ("accept_encoding", accept_encoding),
    ("address", address),
    ("answer", answer),
    ("authorization", authorization),
    ("cgi_output", cgi_output),
    ("chunked", chunked),
    ("conditional", conditional),
    ("configuration", configuration),
    ("escape", escape),
    ("forwarded", forwarded),
    ("htpasswd", htpasswd),
    ("listing", listing),
    ("log_line", log_line),
    ("media_types", media_types),
    ("proxied", proxied),
    ("proxy_header", proxy_header),
    ("range", range),
    ("request", request),
    ("target", target),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn below(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    /// What stands in a directory, by name; an empty one is a mistake.
    fn files(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", directory.display());
        files
    }

    #[test]
    fn the_corpus_keeps_its_promises() {
        for (name, target) in TARGETS {
            for file in files(&below("tests/corpus").join(name)) {
                let octets = fs::read(&file).unwrap();
                let result = std::panic::catch_unwind(|| target(&octets));
                assert!(result.is_ok(), "{} breaks `{name}`", file.display());
            }
        }
    }

    #[test]
    fn every_target_has_its_corpus_and_every_corpus_its_target() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names.len(), TARGETS.len());
        let directories = files(&below("tests/corpus")).into_iter();
        let corpora: BTreeSet<String> = directories
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, corpora);
    }

    #[test]
    fn every_target_is_one_of_cargo_fuzz() {
        // Neither is in the packaged crate: fuzz/ is a package of its own.
        let Ok(manifest) = fs::read_to_string(below("fuzz/Cargo.toml")) else {
            return;
        };
        let manifest: toml::Table = manifest.parse().unwrap();
        let binaries = manifest["bin"].as_array().unwrap().iter();
        let names: BTreeSet<&str> = binaries.map(|one| one["name"].as_str().unwrap()).collect();
        let expected: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, expected);
        for name in expected {
            let path = below("fuzz/fuzz_targets").join(format!("{name}.rs"));
            let text = fs::read_to_string(&path).unwrap();
            let call = format!("preforkd::fuzzing::{name}(octets)");
            assert!(text.contains(&call), "{} does not call it", path.display());
        }
    }
}

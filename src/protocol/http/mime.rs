//! From a name's extension to a media type, and what the type says.
//!
//! The table is built in: the answer must not depend on what is installed
//! beside us. A file of types that the configuration names outweighs it. What
//! neither knows is `application/octet-stream`, and nothing is guessed from the
//! octets of a file.

use std::fmt;
use std::sync::Arc;

use super::put::Put;
use crate::config::MediaTypes;

/// The types that a site knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Types {
    /// Extension and type, sorted by the first.
    configured: Arc<Vec<(String, String)>>,
    charset: Option<String>,
}

/// The type of a file: where it stands in the tables of [`Types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Media(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Configured(u32),
    BuiltIn(u32),
    Nowhere,
}

impl Media {
    /// A file of no known type.
    pub(super) const UNKNOWN: Self = Self(Place::Nowhere);
}

impl Types {
    /// The built-in types, those of a file before them, and what to say of the
    /// charset of text.
    pub(super) fn new(configured: Option<&MediaTypes>, charset: Option<String>) -> Self {
        let configured = configured.map(|types| Arc::clone(&types.by_extension));
        Self {
            configured: configured.unwrap_or_default(),
            charset,
        }
    }

    /// The type of a file of this name.
    pub(super) fn of(&self, path: &[u8]) -> Media {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let Some(dot) = memchr::memrchr(b'.', name) else {
            return Media::UNKNOWN;
        };
        let extension = &name[dot + 1..];
        if extension.len() > MediaTypes::LONGEST_EXTENSION {
            return Media::UNKNOWN;
        }
        if !self.configured.is_empty() {
            let lower = || extension.iter().map(u8::to_ascii_lowercase);
            let by_name = |(known, _): &(String, String)| known.bytes().cmp(lower());
            if let Ok(at) = self.configured.binary_search_by(by_name) {
                return Media(Place::Configured(at as u32));
            }
        }
        if extension.len() > size_of::<u128>() {
            return Media::UNKNOWN;
        }
        Media(match KEYS.binary_search(&key(extension)) {
            Ok(at) => Place::BuiltIn(at as u32),
            Err(_) => Place::Nowhere,
        })
    }

    /// The value of Content-Type.
    pub(super) fn content_type(&self, media: Media) -> ContentType<'_> {
        let name = self.name(media);
        ContentType {
            name,
            charset: self.charset.as_deref().filter(|_| is_text(name)),
        }
    }

    /// Whether such files get much smaller by being compressed.
    pub(super) fn is_compressible(&self, media: Media) -> bool {
        is_compressible(self.name(media))
    }

    fn name(&self, media: Media) -> &str {
        let name = match media.0 {
            Place::Configured(at) => self
                .configured
                .get(at as usize)
                .map(|(_, name)| name.as_str()),
            Place::BuiltIn(at) => TABLE.get(at as usize).map(|(_, name)| *name),
            Place::Nowhere => None,
        };
        name.unwrap_or("application/octet-stream")
    }
}

/// A media type with its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentType<'t> {
    name: &'t str,
    charset: Option<&'t str>,
}

impl fmt::Display for ContentType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.charset {
            Some(charset) => write!(f, "; charset={charset}"),
            None => Ok(()),
        }
    }
}

impl Put for ContentType<'_> {
    fn put(self, out: &mut Vec<u8>) {
        self.name.put(out);
        if let Some(charset) = self.charset {
            "; charset=".put(out);
            charset.put(out);
        }
    }
}

/// Types that have a charset parameter which clients heed. JSON has none
/// (RFC 8259 §11), and XML names its own.
fn is_text(name: &str) -> bool {
    let prefix = name.get(..5).unwrap_or_default();
    prefix.eq_ignore_ascii_case("text/")
        || ["application/javascript", "application/ecmascript"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
}

/// By name: text, what is written in XML or JSON, and some that are known.
fn is_compressible(name: &str) -> bool {
    const ALSO: &[&str] = &[
        "application/json",
        "application/xml",
        "application/wasm",
        "application/toml",
        "application/yaml",
        "application/rtf",
        "application/postscript",
        "application/x-javascript",
        "application/x-sh",
        "application/vnd.ms-fontobject",
        "application/vnd.apple.mpegurl",
        "font/otf",
        "font/ttf",
        "font/collection",
        "image/bmp",
        "image/svg+xml",
        "image/vnd.microsoft.icon",
        "image/x-icon",
    ];
    let ends = |end: &str| {
        let at = name.len().wrapping_sub(end.len());
        name.get(at..)
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    is_text(name)
        || ends("+xml")
        || ends("+json")
        || ALSO.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Sorted by extension; a test watches over that.
const TABLE: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("br", "application/x-brotli"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain"),
    ("cfg", "text/plain"),
    ("cjs", "text/javascript"),
    ("conf", "text/plain"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("deb", "application/vnd.debian.binary-package"),
    ("diff", "text/plain"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("h", "text/plain"),
    ("heic", "image/heic"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar"),
    ("ini", "text/plain"),
    ("iso", "application/vnd.efi.iso"),
    ("jar", "application/java-archive"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("log", "text/plain"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown"),
    ("mid", "audio/midi"),
    ("mjs", "text/javascript"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("patch", "text/plain"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("ps", "application/postscript"),
    ("py", "text/plain"),
    ("rar", "application/vnd.rar"),
    ("rpm", "application/x-rpm"),
    ("rs", "text/plain"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("sh", "text/plain"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain"),
    ("vtt", "text/vtt"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The extensions of [`TABLE`] as numbers that have the order of the names: one
/// comparison is one instruction.
const KEYS: [u128; TABLE.len()] = {
    let mut keys = [0; TABLE.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = key(TABLE[at].0.as_bytes());
        at += 1;
    }
    keys
};

/// An extension of at most 16 octets, in lower case, with zeros behind it.
const fn key(extension: &[u8]) -> u128 {
    let mut octets = [0; size_of::<u128>()];
    let mut at = 0;
    while at < extension.len() {
        octets[at] = extension[at].to_ascii_lowercase();
        at += 1;
    }
    u128::from_be_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        Types::new(None, Some("utf-8".to_owned()))
    }

    fn content_type(types: &Types, path: &str) -> String {
        let media = types.of(path.as_bytes());
        types.content_type(media).to_string()
    }

    #[test]
    fn the_table_is_sorted_and_fits() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(KEYS.is_sorted());
        let fits = |known: &str| known.len() <= size_of::<u128>();
        assert!(TABLE.iter().all(|(known, _)| fits(known)));
    }

    #[test]
    fn text_names_its_charset() {
        let types = types();
        for (extension, media) in TABLE {
            let shown = content_type(&types, &format!("a.{extension}"));
            assert_eq!(
                media.starts_with("text/"),
                shown.ends_with("; charset=utf-8"),
                "{extension}"
            );
            assert!(shown.starts_with(media));
        }
        assert_eq!(content_type(&Types::default(), "a.txt"), "text/plain");
    }

    #[test]
    fn extensions_in_any_case_and_place() {
        let types = types();
        for (path, media) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/B.CSS", "text/css; charset=utf-8"),
            ("a.tar.gz", "application/gzip"),
            ("a.b/c", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            ("a.unknown", "application/octet-stream"),
            ("a.webmanifest", "application/manifest+json"),
            (
                "a.much-too-long-for-any-extension-there-is",
                "application/octet-stream",
            ),
            ("png", "application/octet-stream"),
        ] {
            assert_eq!(content_type(&types, path), media, "{path}");
        }
    }

    #[test]
    fn configured_types_come_first() {
        let file = b"text/x-own own\napplication/x-page html\nAPPLICATION/JAVASCRIPT js\n";
        let types = MediaTypes::parse("/m".into(), file)
            .map(|file| Types::new(Some(&file), Some("koi8-r".to_owned())))
            .expect("the file is right");
        assert_eq!(content_type(&types, "a.OWN"), "text/x-own; charset=koi8-r");
        assert_eq!(content_type(&types, "a.html"), "application/x-page");
        assert_eq!(
            content_type(&types, "a.js"),
            "APPLICATION/JAVASCRIPT; charset=koi8-r"
        );
        assert_eq!(content_type(&types, "a.css"), "text/css; charset=koi8-r");
    }

    #[test]
    fn what_is_worth_compressing() {
        let types = types();
        for (path, expected) in [
            ("a.html", true),
            ("a.js", true),
            ("a.json", true),
            ("a.svg", true),
            ("a.rss", true),
            ("a.wasm", true),
            ("a.ttf", true),
            ("a.png", false),
            ("a.mp4", false),
            ("a.gz", false),
            ("a.woff2", false),
            ("a.zip", false),
            ("a.unknown", false),
        ] {
            let media = types.of(path.as_bytes());
            assert_eq!(types.is_compressible(media), expected, "{path}");
        }
    }
}

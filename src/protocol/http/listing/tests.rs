//! Listings of all sizes, and of names that mean something elsewhere.

use super::*;

fn entry(name: &[u8], kind: FileKind, length: u64, mtime: i64) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        length,
        mtime,
    }
}

fn file(name: &str, length: u64, mtime: i64) -> Entry {
    entry(name.as_bytes(), FileKind::File, length, mtime)
}

fn listing(form: Form, query: &str) -> Listing {
    Listing::new(form, End::Close, false, b"a/b", query.as_bytes())
}

/// All that is written, whatever the pieces.
fn finish(listing: &mut Listing) -> String {
    let mut output = Output::default();
    let mut text = Vec::new();
    loop {
        let need = listing.write(&mut output);
        text.extend_from_slice(output.unsent());
        output.advance(usize::MAX);
        match need {
            Need::Room => {}
            Need::Nothing => return String::from_utf8(text).unwrap(),
            Need::Entries => panic!("there are none"),
        }
    }
}

fn page(form: Form, query: &str, mut entries: Vec<Entry>) -> String {
    let mut listing = listing(form, query);
    assert_eq!(listing.take(&mut entries, false), Need::Room);
    let text = finish(&mut listing);
    assert_eq!(listing.octets(), text.len() as u64);
    text
}

fn names(query: &str) -> Vec<String> {
    let entries = vec![
        file("b", 1, 30),
        file("a", 3, 20),
        file("c", 2, 10),
        entry(b"z", FileKind::Directory, 9, 99),
    ];
    let page = page(Form::Html, query, entries);
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("<tr><td><a href=\""));
    rows.skip(1)
        .filter_map(|row| Some(row.split_once('"')?.0.to_owned()))
        .collect()
}

#[test]
fn rows_are_sorted_as_asked() {
    for (query, order) in [
        ("", ["z/", "a", "b", "c"]),
        ("sort=name&order=desc", ["z/", "c", "b", "a"]),
        ("sort=size", ["z/", "b", "c", "a"]),
        ("order=desc&sort=size", ["z/", "a", "c", "b"]),
        ("sort=time", ["z/", "c", "a", "b"]),
        ("sort=frob&order=sideways&x", ["z/", "a", "b", "c"]),
    ] {
        assert_eq!(names(query), order, "{query}");
    }
}

#[test]
fn no_name_gets_out_of_its_place() {
    // Rules 109 and 111.
    let odd = [
        &b"<script>alert(1)<script>"[..],
        b"\"><img src=x onerror=y>",
        b"a&b'c",
        b"javascript:alert(1)",
        b"back\\slash",
        b"new\x01line\x7f",
        b"\xff\xfe",
        "\u{202e}txt.exe".as_bytes(),
        b"%2e%2e",
        b"a?b#c",
    ];
    let entries = || {
        odd.iter()
            .map(|name| entry(name, FileKind::File, 1, 0))
            .collect()
    };
    let html = page(Form::Html, "", entries());
    for text in [
        "<script",
        "<img",
        "\u{202e}",
        "javascript:alert(1)\"",
        "line\x7f",
    ] {
        assert!(!html.contains(text), "{text:?}\n{html}");
    }
    for text in [
        "&lt;script&gt;",
        "href=\"%3Cscript%3E",
        "href=\"javascript%3Aalert%281%29\"",
        "href=\"%FF%FE\"",
        "href=\"%252e%252e\"",
        "href=\"a%3Fb%23c\"",
        "new\u{fffd}line\u{fffd}",
        "a&amp;b&#39;c",
        "<a href=\"../\">../</a>",
    ] {
        assert!(html.contains(text), "{text:?}\n{html}");
    }
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "{html}"
    );
    let json = page(Form::Json, "", entries());
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["path"], "/a/b/");
    let rows = value["entries"].as_array().unwrap();
    assert_eq!(rows.len(), odd.len());
    let hrefs = rows.iter().map(|row| row["href"].as_str().unwrap());
    for href in hrefs {
        let name: Vec<u8> = percent_encoding::percent_decode_str(href).collect();
        assert!(odd.contains(&&name[..]), "{href}");
    }
}

#[test]
fn json_says_what_a_program_wants() {
    let entries = vec![
        file("a\"b", 5, 1_782_901_805),
        entry(b"d", FileKind::Directory, 4096, 7),
    ];
    assert_eq!(
        page(Form::Json, "", entries),
        "{\"path\":\"/a/b/\",\"sorted\":true,\"entries\":[\n\
         {\"name\":\"d\",\"href\":\"d/\",\"type\":\"directory\",\"mtime\":7},\n\
         {\"name\":\"a\\\"b\",\"href\":\"a%22b\",\"type\":\"file\",\"size\":5,\"mtime\":1782901805}\n]}\n"
    );
    assert_eq!(
        page(Form::Json, "", Vec::new()),
        "{\"path\":\"/a/b/\",\"sorted\":true,\"entries\":[\n]}\n"
    );
}

#[test]
fn what_may_not_be_asked_for_is_not_shown() {
    let entries = || {
        vec![
            file(".secret", 1, 1),
            file(".well-known", 1, 1),
            file("shown", 1, 1),
            entry(b"socket", FileKind::Other, 1, 1),
            // Rule 109: a link to one of these would be answered with 400.
            file("line\nfeed", 1, 1),
            file("carriage\rreturn", 1, 1),
        ]
    };
    let shown = |path: &[u8], dotfiles| {
        let mut listing = Listing::new(Form::Json, End::Close, dotfiles, path, b"");
        listing.take(&mut entries(), false);
        let text = finish(&mut listing);
        assert!(!text.contains("feed") && !text.contains("return"), "{text}");
        [".secret", ".well-known", "shown", "socket"].map(|name| text.contains(name))
    };
    assert_eq!(shown(b"", false), [false, true, true, false]);
    assert_eq!(shown(b"a", false), [false, false, true, false]);
    assert_eq!(shown(b"a", true), [true, true, true, false]);
}

#[test]
fn what_is_too_large_to_sort_is_streamed_and_bounded() {
    let mut listing = listing(Form::Json, "");
    let mut output = Output::default();
    let (mut text, mut most) = (Vec::new(), 0);
    let mut left = 100_000u64;
    let mut need = Need::Entries;
    while need != Need::Nothing {
        match need {
            Need::Entries => {
                let mut entries: Vec<Entry> = (0..128.min(left))
                    .map(|at| file(&format!("name-{:06}", left - at), at, 0))
                    .collect();
                left -= entries.len() as u64;
                need = listing.take(&mut entries, left > 0);
                most = most.max(listing.rows.len());
            }
            Need::Room => {
                need = listing.write(&mut output);
                assert!(output.len() < Output::ENOUGH + 4096);
                text.extend_from_slice(output.unsent());
                output.advance(usize::MAX);
            }
            Need::Nothing => {}
        }
    }
    assert!(most < MOST + 128, "{most} rows were held");
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["sorted"], false);
    assert_eq!(value["entries"].as_array().unwrap().len(), 100_000);
}

#[test]
fn chunks_say_their_length_and_their_end() {
    let mut listing = Listing::new(Form::Html, End::Chunked, false, b"", b"");
    let mut entries: Vec<Entry> = (0..2000)
        .map(|at| file(&format!("name {at}"), 1, 1))
        .collect();
    listing.take(&mut entries, false);
    let mut output = Output::default();
    let mut bytes = Vec::new();
    while listing.write(&mut output) != Need::Nothing {
        bytes.extend_from_slice(output.unsent());
        output.advance(usize::MAX);
    }
    bytes.extend_from_slice(output.unsent());
    let (mut rest, mut content, mut chunks) = (&bytes[..], Vec::new(), 0);
    loop {
        let end = memchr::memmem::find(rest, b"\r\n").unwrap();
        let digits = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        let data = &rest[end + 2..];
        content.extend_from_slice(&data[..length]);
        assert_eq!(&data[length..length + 2], b"\r\n");
        rest = &data[length + 2..];
        if length == 0 {
            break;
        }
        chunks += 1;
    }
    assert!(rest.is_empty() && chunks > 1);
    assert_eq!(content.len() as u64, listing.octets());
    assert!(content.ends_with(b"</html>\n") && !content.windows(3).any(|at| at == b"../"));
}

#[test]
fn sizes_and_times_as_people_read_them() {
    let size = |octets| {
        let mut out = Vec::new();
        write_size(&mut out, octets);
        String::from_utf8(out).unwrap()
    };
    for (octets, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (10 << 10, "10 KiB"),
        (5 << 30, "5.0 GiB"),
        (u64::MAX, "15 EiB"),
    ] {
        assert_eq!(size(octets), text);
    }
    let time = |unix| {
        let mut out = Vec::new();
        write_time(&mut out, unix);
        String::from_utf8(out).unwrap()
    };
    for (unix, text) in [
        (0, "1970-01-01 00:00"),
        (951_782_400, "2000-02-29 00:00"),
        (1_782_901_805, "2026-07-01 10:30"),
        (-1, "1969-12-31 23:59"),
        (4_107_542_399, "2100-02-28 23:59"),
        (4_107_542_400, "2100-03-01 00:00"),
    ] {
        assert_eq!(time(unix), text);
    }
}

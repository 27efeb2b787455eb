//! What must hold for any text of an administrator: see [`crate::fuzzing`].

use std::path::Path;

use super::load::parse;
use super::system::Pretend;
use super::{MediaTypes, Passwords};

/// A configuration: whatever comes of it can be shown, and what is right can be
/// read back as it was shown.
pub fn configuration(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        survive(text);
    }
}

/// As [`configuration`], for what is text already.
pub(crate) fn survive(text: &str) {
    match parse(text, "f", Path::new("/srv"), &Pretend::default()) {
        Ok(loaded) => {
            let shown = loaded.config.to_string();
            let again = parse(&shown, "g", Path::new("/srv"), &Pretend::default());
            let again = again.unwrap_or_else(|mistakes| panic!("{mistakes}\nof\n{shown}"));
            assert_eq!(again.config, loaded.config, "{shown}");
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            assert!(mistakes.to_string().starts_with("f:"), "{mistakes}");
            assert_eq!(mistakes.lines().count(), mistakes.len());
        }
    }
}

/// A password file: a hash gets out by [`Passwords::hash_of`] alone.
pub fn htpasswd(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    let passwords = match Passwords::parse(text) {
        Ok(passwords) => passwords,
        Err((line, why)) => {
            let wrong = text.lines().nth(line - 1).expect("the line is there");
            let hash = wrong.split_once(':').map_or(wrong, |(_, hash)| hash.trim());
            assert!(!hash.starts_with('$') || !why.contains(hash), "{why}");
            return;
        }
    };
    let mut users = 0;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').expect("it was accepted");
        assert_eq!(passwords.hash_of(user.as_bytes()), Some(hash));
        assert_eq!(hash.len(), 60, "{hash}");
        assert_eq!(passwords.hash_of(line.as_bytes()), None);
        // More than the least takes too long here.
        if users == 0 && hash.get(4..6) == Some("04") {
            let _ = bcrypt::verify("x", hash);
        }
        users += 1;
    }
    assert_eq!(passwords.is_empty(), users == 0);
    assert_eq!(
        format!("{passwords:?}"),
        format!("Passwords({users} users)")
    );
    let decoy = passwords.decoy();
    let again = Passwords::parse(&format!("nobody:{decoy}"));
    assert!(again.is_ok_and(|again| again.hash_of(b"nobody") == Some(&*decoy)));
}

/// A file of media types: nothing gets through that could not stand in a field.
pub fn media_types(octets: &[u8]) {
    let lines = octets.split(|&byte| byte == b'\n').count();
    match MediaTypes::parse("/f".into(), octets) {
        Ok(types) => {
            let table = &types.by_extension;
            let is_sorted = table.windows(2).all(|pair| pair[0].0 < pair[1].0);
            assert!(is_sorted, "{table:?}");
            for (extension, media) in table.iter() {
                assert!((1..=MediaTypes::LONGEST_EXTENSION).contains(&extension.len()));
                assert!(!extension.bytes().any(|byte| byte.is_ascii_uppercase()));
                assert!(media.bytes().all(|byte| byte.is_ascii_graphic()), "{media}");
                assert_eq!(media.matches('/').count(), 1, "{media}");
            }
        }
        Err(error) => {
            let line = error
                .strip_prefix("/f:")
                .and_then(|rest| rest.split(':').next());
            let line: usize = line.and_then(|line| line.parse().ok()).expect("a line");
            assert!((1..=lines).contains(&line), "{error}");
        }
    }
}

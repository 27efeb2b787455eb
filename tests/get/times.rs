//! What took how long, once and again and again.

use crate::scripted::{Scripted, Step};
use crate::site::{PLAIN, at, get, server};
use serde_json::Value;

#[test]
fn times_are_told_in_words_and_as_json() {
    let server = server();
    let url = at(&server, "/text.txt");
    let text = get(&["--timing", &url]);
    for word in ["lookup ", "connect ", "first octet ", "total ", "23 octets"] {
        assert!(text.err.contains(word), "{text:?}");
    }
    let got = get(&["--json", "-L", &at(&server, "/old/text.txt")]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(told["url"], url);
    assert_eq!(
        (&told["status"], &told["redirects"]),
        (&200.into(), &1.into())
    );
    assert_eq!(told["octets"], 23);
    let time = |name: &str| told[name].as_u64().unwrap();
    assert!(
        time("connect_us") + time("first_octet_us") <= time("total_us"),
        "{told}"
    );
    // Again and again, over one connection.
    let got = get(&["--repeat", "50", "--json", &url]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(
        (&told["count"], &told["connections"]),
        (&50.into(), &1.into())
    );
    assert_eq!(
        (&told["statuses"]["200"], &told["octets"]),
        (&50.into(), &(50 * 23).into())
    );
    let each = &told["each_us"];
    assert!(each["min"].as_u64() <= each["median"].as_u64());
    assert!(each["median"].as_u64() <= each["max"].as_u64(), "{told}");
    let text = get(&["--repeat", "3", &url]);
    assert!(
        text.err.contains("3 answers over 1 connection in ") && text.out.is_empty(),
        "{text:?}"
    );
    assert!(text.err.contains("median"), "{text:?}");
    server.stop();
}

#[test]
fn a_kept_connection_that_ends_is_tried_once_more() {
    let keeps = |answers: usize, end: Step| {
        let mut script = Vec::new();
        for _ in 0..answers {
            script.push(Step::Read);
            script.push(Step::Send(PLAIN.as_bytes().to_vec()));
        }
        script.push(end);
        script
    };
    // The second connection answers the third request.
    let peer = Scripted::new(vec![keeps(2, Step::Read), keeps(1, Step::Hush)]);
    // `Read` notes the third request and then closes without an answer.
    let got = get(&["--repeat", "3", "--json", &peer.url("/")]);
    got.is_fine();
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(
        (&told["count"], &told["connections"]),
        (&3.into(), &2.into())
    );
    assert_eq!(peer.asked().len(), 4);
    // Not for what may be done once only.
    let peer = Scripted::new(vec![keeps(1, Step::Read)]);
    let got = get(&["--repeat", "2", "--post", "x", &peer.url("/")]);
    got.is_failure(52, "without an answer");
    // And once only.
    let peer = Scripted::new(vec![keeps(1, Step::Read), vec![Step::Read]]);
    get(&["--repeat", "2", &peer.url("/")]).is_failure(52, "without an answer");
    // Who closes each time is asked on a new one each time.
    let closes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let peer = Scripted::one_by_one(&[closes, closes]);
    let got = get(&["--repeat", "2", "--json", &peer.url("/")]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(told["connections"], 2, "{told}");
    // Nothing may come between two answers.
    let surplus = format!("{PLAIN}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let peer = Scripted::one_by_one(&[&surplus, PLAIN]);
    let got = get(&["--repeat", "2", "--json", &peer.url("/")]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(told["connections"], 2, "{told}");
}

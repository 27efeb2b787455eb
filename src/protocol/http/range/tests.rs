//! Ranges: the cases that the RFC names, and any field against a naive model.

use proptest::prelude::*;

use super::*;

fn selected(value: &str, length: u64) -> Result<Vec<(u64, u64)>, Unfit> {
    let spans = select(value.as_bytes(), length)?;
    Ok(spans.iter().map(|span| (span.first, span.last())).collect())
}

#[test]
fn single_ranges() {
    // Rules 93 to 97 and 101.
    const NINES: &str = "bytes=0-99999999999999999999999";
    for (value, length, expected) in [
        ("bytes=0-0", 10, Ok(vec![(0, 0)])),
        ("bytes=5-", 10, Ok(vec![(5, 9)])),
        ("bytes=-5", 10, Ok(vec![(5, 9)])),
        ("bytes=-9999999", 10, Ok(vec![(0, 9)])),
        ("bytes=3-9999", 10, Ok(vec![(3, 9)])),
        (NINES, 10, Ok(vec![(0, 9)])),
        ("bytes=00003-4", 10, Ok(vec![(3, 4)])),
        ("BYTES=0-1", 10, Ok(vec![(0, 1)])),
        ("bytes= 0-1 ", 10, Ok(vec![(0, 1)])),
        ("bytes=,0-1,", 10, Ok(vec![(0, 1)])),
        ("bytes=9-", 10, Ok(vec![(9, 9)])),
        ("bytes=0-", u64::MAX, Ok(vec![(0, u64::MAX - 1)])),
        ("bytes=10-", 10, Err(Unfit::Unsatisfiable)),
        ("bytes=-0", 10, Err(Unfit::Unsatisfiable)),
        (
            "bytes=99999999999999999999999-",
            10,
            Err(Unfit::Unsatisfiable),
        ),
        ("bytes=10-,-0", 10, Err(Unfit::Unsatisfiable)),
        ("bytes=0-", 0, Err(Unfit::Unsatisfiable)),
        ("bytes=-0", 0, Err(Unfit::Unsatisfiable)),
        ("bytes=-1", 0, Err(Unfit::Ignored)),
        ("bytes=5-2", 10, Err(Unfit::Ignored)),
        ("bytes=x", 10, Err(Unfit::Ignored)),
        ("bytes=", 10, Err(Unfit::Ignored)),
        ("bytes=,", 10, Err(Unfit::Ignored)),
        ("bytes=-", 10, Err(Unfit::Ignored)),
        ("bytes", 10, Err(Unfit::Ignored)),
        ("bytes 0-1", 10, Err(Unfit::Ignored)),
        ("bytes =0-1", 10, Err(Unfit::Ignored)),
        ("bytes=0 - 1", 10, Err(Unfit::Ignored)),
        ("bytes=+0-1", 10, Err(Unfit::Ignored)),
        ("bytes=0-1-2", 10, Err(Unfit::Ignored)),
        ("bytes=0--1", 10, Err(Unfit::Ignored)),
        ("bytes=0-1;", 10, Err(Unfit::Ignored)),
        ("bytes=0x1-2", 10, Err(Unfit::Ignored)),
        ("items=0-1", 10, Err(Unfit::Ignored)),
        ("0-1", 10, Err(Unfit::Ignored)),
        ("", 10, Err(Unfit::Ignored)),
        ("bytes=0-1, x", 10, Err(Unfit::Ignored)),
        ("bytes=0-1, 5-2", 10, Err(Unfit::Ignored)),
    ] {
        assert_eq!(selected(value, length), expected, "{value} of {length}");
    }
}

#[test]
fn several_ranges() {
    // Rules 98 to 100.
    for (value, expected) in [
        ("bytes=0-1,4-5", vec![(0, 1), (4, 5)]),
        ("bytes=4-5 ,\t0-1", vec![(4, 5), (0, 1)]),
        ("bytes=0-0,-1", vec![(0, 0), (99, 99)]),
        ("bytes=0-1,200-,4-5", vec![(0, 1), (4, 5)]),
        ("bytes=0-1,2-3", vec![(0, 3)]),
        ("bytes=2-3,0-1", vec![(0, 3)]),
        ("bytes=0-9,5-14", vec![(0, 14)]),
        ("bytes=20-29,0-9,5-24", vec![(0, 29)]),
        ("bytes=50-59,0-9,20-29,8-21", vec![(50, 59), (0, 29)]),
        ("bytes=0-,0-,0-", vec![(0, 99)]),
        ("bytes=0-,-1,-2", vec![(0, 99)]),
        // More than a few: what is near grows together.
        (
            "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16",
            vec![(0, 16)],
        ),
    ] {
        assert_eq!(selected(value, 100), Ok(expected), "{value}");
    }
    let many = |count| format!("bytes={}", vec!["0-"; count].join(","));
    assert_eq!(selected(&many(MOST), 100), Ok(vec![(0, 99)]));
    assert_eq!(selected(&many(MOST + 1), 100), Err(Unfit::Ignored));
    assert_eq!(selected(&many(1000), 100), Err(Unfit::Ignored));
}

/// The octets that are asked for, one by one.
fn model(specs: &[(Option<u64>, Option<u64>)], length: u64) -> Option<Vec<bool>> {
    let mut wanted = vec![false; length as usize];
    for &(first, last) in specs {
        let range = match (first, last) {
            (Some(first), Some(last)) if first > last => return None,
            (Some(first), Some(last)) => first..length.min(last + 1),
            (Some(first), None) => first..length,
            (None, Some(count)) => length.saturating_sub(count)..length,
            (None, None) => return None,
        };
        range.for_each(|at| wanted[at as usize] = true);
    }
    Some(wanted)
}

fn spec() -> impl Strategy<Value = (Option<u64>, Option<u64>)> {
    (
        proptest::option::weighted(0.8, 0u64..60),
        proptest::option::weighted(0.9, 0u64..60),
    )
}

proptest! {
    #[test]
    fn what_is_sent_is_what_was_asked(
        specs in proptest::collection::vec(spec(), 1..8),
        length in 1u64..50,
    ) {
        let text = |number: Option<u64>| number.map_or(String::new(), |n| n.to_string());
        let list: Vec<String> = specs.iter().map(|(a, b)| format!("{}-{}", text(*a), text(*b))).collect();
        let value = format!("bytes={}", list.join(", "));
        match (model(&specs, length), selected(&value, length)) {
            (None, found) => prop_assert_eq!(found, Err(Unfit::Ignored)),
            (Some(wanted), Err(unfit)) => {
                prop_assert_eq!(unfit, Unfit::Unsatisfiable);
                prop_assert!(!wanted.contains(&true));
            }
            (Some(wanted), Ok(spans)) => {
                // Up to a few ranges: each octet that is wanted once, no other.
                let mut sent = vec![false; length as usize];
                for (first, last) in &spans {
                    prop_assert!(first <= last && *last < length);
                    for at in *first..=*last {
                        prop_assert!(!sent[at as usize], "twice: {}", value);
                        sent[at as usize] = true;
                    }
                }
                prop_assert_eq!(sent, wanted);
                // None touch, or they were one.
                for (first, _) in &spans {
                    prop_assert!(spans.iter().all(|(_, last)| last + 1 != *first));
                }
            }
        }
    }

    #[test]
    fn parts_in_their_order(starts in Just((0u64..20).collect::<Vec<_>>()).prop_shuffle()) {
        let few = &starts[..FEW];
        let list: Vec<String> = few.iter().map(|n| format!("{}-{}", n * 10, n * 10 + 4)).collect();
        let expected: Vec<(u64, u64)> = few.iter().map(|n| (n * 10, n * 10 + 4)).collect();
        prop_assert_eq!(selected(&format!("bytes={}", list.join(",")), 1000), Ok(expected));
    }

    #[test]
    fn many_ranges_are_few_parts(
        ranges in proptest::collection::vec((0u64..100_000, 0u64..300), FEW + 1..MOST),
    ) {
        let list: Vec<String> = ranges.iter().map(|(at, more)| format!("{at}-{}", at + more)).collect();
        let spans = selected(&format!("bytes={}", list.join(",")), 200_000);
        let mut spans = spans.map_err(|_| TestCaseError::fail("not ignored"))?;
        for (at, more) in &ranges {
            prop_assert!(spans.iter().any(|(first, last)| first <= at && at + more <= *last));
        }
        spans.sort_unstable();
        for pair in spans.windows(2) {
            prop_assert!(pair[0].1 + GAP < pair[1].0);
        }
    }

    #[test]
    fn nothing_panics(value in "(bytes=)?[0-9, \\t-]{0,60}|[ -~]{0,30}", length: u64) {
        let _ = select(value.as_bytes(), length);
    }
}

//! What callgrind counted: so much of its format as is needed here (the manual
//! of valgrind, "Callgrind Format Specification").

use std::collections::BTreeMap;
use std::path::Path;

/// Instructions and calls of one process, by function; or by how much those of
/// one differ from those of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Instructions of the function itself, without those of what it calls.
    own: BTreeMap<String, i64>,
    /// How often it was called.
    calls: BTreeMap<String, i64>,
}

/// What of the C library hands memory out.
const ALLOCATORS: [&str; 6] = [
    "malloc",
    "calloc",
    "realloc",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
];

impl Profile {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path);
        Self::parse(&text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn parse(text: &str) -> Self {
        let mut profile = Self::default();
        let mut names = BTreeMap::new();
        let (mut function, mut callee) = (String::new(), String::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            match line.split_once('=') {
                Some(("fn", name)) => function = full(&mut names, name),
                Some(("cfn", name)) => callee = full(&mut names, name),
                Some(("calls", rest)) => {
                    let count = rest.split(' ').next().unwrap();
                    *profile.calls.entry(callee.clone()).or_default() += number(count);
                    // What the callee took, which is counted where it stands.
                    lines.next();
                }
                // `LINE COST`, and the line may be `+3`, `-3` or `*`.
                None if line.starts_with(is_position) => {
                    let cost = line.split(' ').nth(1).map_or(0, number);
                    *profile.own.entry(function.clone()).or_default() += cost;
                }
                Some(_) | None => {}
            }
        }
        profile
    }

    /// What this one has more than `less`.
    pub(crate) fn minus(mut self, less: &Self) -> Self {
        for (mine, others) in [(&mut self.own, &less.own), (&mut self.calls, &less.calls)] {
            for (name, count) in others {
                *mine.entry(name.clone()).or_default() -= count;
            }
        }
        self
    }

    /// All instructions.
    pub(crate) fn instructions(&self) -> i64 {
        self.own.values().sum()
    }

    /// How often memory was asked for.
    pub(crate) fn allocations(&self) -> i64 {
        self.calls_of(|name| ALLOCATORS.contains(&name))
    }

    /// How often a clock was read.
    pub(crate) fn clocks(&self) -> i64 {
        self.calls_of(|name| name == "clock_gettime")
    }

    /// The `count` functions with the most instructions of their own.
    pub(crate) fn dearest(&self, count: usize) -> Vec<(&str, i64)> {
        let mut all: Vec<(&str, i64)> = self
            .own
            .iter()
            .map(|(name, &cost)| (name.as_str(), cost))
            .collect();
        all.sort_by_key(|&(_, cost)| std::cmp::Reverse(cost));
        all.truncate(count);
        all
    }

    fn calls_of(&self, which: impl Fn(&str) -> bool) -> i64 {
        // `clock_gettime@@GLIBC_2.17`, and `name'2` where it calls itself.
        let plain = |name: &str| name.split(['@', '\'']).next().is_some_and(&which);
        let calls = self.calls.iter().filter(|(name, _)| plain(name));
        calls.map(|(_, count)| count).sum()
    }
}

/// A name stands in full the first time, `(7) malloc`, and then as `(7)`.
fn full<'t>(names: &mut BTreeMap<&'t str, &'t str>, text: &'t str) -> String {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name.to_owned()
        }
        None => names[text].to_owned(),
    }
}

fn is_position(sign: char) -> bool {
    sign.is_ascii_digit() || matches!(sign, '+' | '-' | '*')
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

#[test]
fn a_profile_is_read_as_callgrind_means_it() {
    let text = "events: Ir\nsummary: 40\n\nob=(1) program\nfl=(1) a.rs\n\
                fn=(1) serve\n7 10\n+2 5\n* 1\ncfn=(2) malloc\ncalls=3 9\n+1 20\n-3 4\n\
                fn=(2)\n0 20\n\nfn=(3) again\n5\n\
                cfn=(4) clock_gettime@@GLIBC_2.17\ncalls=2 0\n* 9\ncfn=(2)\ncalls=1 9\n* 6\n";
    let profile = Profile::parse(text);
    assert_eq!(profile.instructions(), 40);
    assert_eq!((profile.allocations(), profile.clocks()), (4, 2));
    assert_eq!(profile.dearest(2), [("malloc", 20), ("serve", 20)]);
    assert_eq!(profile.clone().minus(&profile).instructions(), 0);
}

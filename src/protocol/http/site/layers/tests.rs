//! The layers, one rule at a time and against a merge that looks at them all.

use super::*;
use crate::config::{Clients, Content as Said, Network};
use proptest::prelude::*;

fn http() -> Http {
    Http::with_defaults("/srv/www")
}

fn path(pattern: &str, scope: Scope) -> PathRule {
    PathRule {
        pattern: Pattern::parse(pattern).unwrap(),
        scope,
        content: None,
        cgi: None,
    }
}

fn with(pattern: &str, content: Said) -> PathRule {
    PathRule {
        content: Some(content),
        ..path(pattern, Scope::default())
    }
}

fn host(name: &str, names: &[&str]) -> Host {
    Host {
        name: name.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        root: None,
        scope: Scope::default(),
        paths: Vec::new(),
    }
}

/// A scope that can be told apart from others.
fn limit(max_body: u64) -> Scope {
    Scope {
        max_body: Some(max_body),
        ..Scope::default()
    }
}

fn limit_of(map: &Map, path: &str, directory: bool) -> u64 {
    let number = map.find(Map::DEFAULT, path.as_bytes(), directory);
    map.rule(number).max_body
}

#[test]
fn exactly_then_the_longest_then_the_extension() {
    let map = Map::new(&Http {
        max_body: 0,
        paths: vec![
            path("/a/", limit(1)),
            path("/a/b/", limit(2)),
            path("/a/b", limit(3)),
            path("/x.css", limit(4)),
            path("*.css", limit(5)),
            path("*.min.css", limit(6)),
        ],
        ..http()
    });
    for (path, directory, limit) in [
        ("", true, 0),
        ("a", true, 1),
        ("a", false, 1),
        ("a/c", false, 1),
        ("ab", false, 0),
        ("a/b", false, 3),
        ("a/b", true, 2),
        ("a/b/c/d/e", false, 2),
        ("a/bc", false, 1),
        ("x.css", false, 5),
        ("a/b/x.CSS", false, 5),
        ("a/x.min.css", false, 6),
        ("x.css", true, 0),
        (".css", false, 0),
        ("a/.css", false, 1),
        ("css", false, 0),
    ] {
        assert_eq!(limit_of(&map, path, directory), limit, "{path} {directory}");
    }
    let deep = "a/b/".to_owned() + &"c/".repeat(4000) + "d";
    assert_eq!(limit_of(&map, &deep, false), 2);
}

#[test]
fn hosts_by_name() {
    // Rule 37 and its kin.
    let all = |strict_hosts| Http {
        strict_hosts,
        hosts: vec![
            host("example.org", &["www.example.org"]),
            host("*.example.org", &[]),
            host("*.b.example.org", &[]),
            host("[::1]", &["192.0.2.1"]),
        ],
        ..http()
    };
    let map = Map::new(&all(false));
    for (name, number) in [
        ("example.org", 1),
        ("EXAMPLE.org.", 1),
        ("www.example.org", 1),
        ("a.example.org", 2),
        ("a.a.example.org", 2),
        ("b.example.org", 2),
        ("a.b.example.org", 3),
        ("[::1]", 4),
        ("192.0.2.1", 4),
        ("", 0),
        (".example.org", 0),
        ("xexample.org", 0),
        ("org", 0),
        ("example.org..", 0),
        ("elsewhere.example", 0),
    ] {
        assert_eq!(
            map.host(name.as_bytes()),
            Some(HostNumber(number)),
            "{name}"
        );
    }
    let long = format!("{}.example.org", "a.".repeat(4000));
    assert_eq!(map.host(long.as_bytes()), Some(Map::DEFAULT));
    let strict = Map::new(&all(true));
    assert_eq!(strict.host(b"elsewhere.example"), None);
    assert_eq!(strict.host(b""), Some(Map::DEFAULT));
}

#[test]
fn a_host_lies_on_the_default_host_and_paths_on_both() {
    let mut own = host("a", &[]);
    own.root = Some("/srv/a".into());
    own.scope = Scope {
        listing: Some(true),
        ..limit(1)
    };
    own.paths = vec![path("/x/", limit(3))];
    let settings = Http {
        max_body: 0,
        paths: vec![
            path(
                "/x/",
                Scope {
                    dotfiles: Some(true),
                    ..limit(2)
                },
            ),
            path("/y/", limit(4)),
        ],
        hosts: vec![own],
        ..http()
    };
    let map = Map::new(&settings);
    let rule = |path: &str| map.rule(map.find(HostNumber(1), path.as_bytes(), false));
    assert_eq!((rule("z").max_body, rule("z").listing), (1, true));
    assert_eq!((rule("x/z").max_body, rule("x/z").dotfiles), (3, true));
    assert_eq!((rule("y/z").max_body, rule("y/z").listing), (4, true));
    let roots = settings.roots();
    assert_eq!(roots[1].0, PathBuf::from("/srv/a"));
    assert!(matches!(
        rule("x/z").content,
        Content::Files { root: 1, skip: 0 }
    ));
    let rule = map.rule(map.find(Map::DEFAULT, b"x/z", false));
    assert!(matches!(rule.content, Content::Files { root: 0, skip: 0 }));
    assert_eq!((rule.max_body, rule.listing), (2, false));
}

#[test]
fn aliases_and_redirects_know_what_stands_in_front() {
    let map = Map::new(&Http {
        paths: vec![
            with("/dl/", Said::Alias("/srv/dl".into())),
            path(
                "/dl/never/",
                Scope {
                    symlinks: Some(Symlinks::Never),
                    ..Scope::default()
                },
            ),
            with(
                "/old/",
                Said::Redirect(config::Redirect {
                    to: "/new/".into(),
                    status: 308,
                }),
            ),
            with(
                "/old",
                Said::Redirect(config::Redirect {
                    to: "/elsewhere".into(),
                    status: 302,
                }),
            ),
        ],
        ..http()
    });
    let content = |path: &str| {
        &map.rule(map.find(Map::DEFAULT, path.as_bytes(), false))
            .content
    };
    // Roots: /srv/www and /srv/dl, each with links and without.
    assert!(matches!(
        content("dl/x"),
        Content::Files { root: 2, skip: 3 }
    ));
    assert!(matches!(content("dl"), Content::Files { root: 2, skip: 3 }));
    assert!(matches!(
        content("dl/never/x"),
        Content::Files { root: 3, skip: 3 }
    ));
    assert!(matches!(content("x"), Content::Files { root: 0, skip: 0 }));
    assert!(matches!(content("old/x"), Content::Redirect(to)
        if to.skip == Some(4) && to.status == Status::PermanentRedirect));
    assert!(matches!(content("old"), Content::Redirect(to)
        if to.skip.is_none() && to.status == Status::Found));
}

#[test]
fn fields_and_pages_add_up_and_can_be_taken_back() {
    let headers = |pairs: &[(&str, &str)]| -> Vec<Header> {
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        pairs.iter().map(header).collect()
    };
    let page = |status, path: &str| config::ErrorPage {
        status,
        path: path.to_owned(),
    };
    let map = Map::new(&Http {
        headers: headers(&[("X-A", "1"), ("Cache-Control", "no-cache"), ("X-B", "2")]),
        error_pages: vec![page(404, "/404.html"), page(403, "/403.html")],
        paths: vec![
            path(
                "/a/",
                Scope {
                    headers: headers(&[("x-a", ""), ("X-C", "3")]),
                    error_pages: vec![page(404, "/a/404.html")],
                    ..Scope::default()
                },
            ),
            path(
                "*.css",
                Scope {
                    headers: headers(&[("Cache-Control", "max-age=3600")]),
                    ..Scope::default()
                },
            ),
        ],
        ..http()
    });
    let rule = |path: &str| map.rule(map.find(Map::DEFAULT, path.as_bytes(), false));
    assert_eq!(*rule("x").fields, *b"X-A: 1\r\nX-B: 2\r\n");
    assert_eq!(*rule("a/x.css").fields, *b"X-B: 2\r\nX-C: 3\r\n");
    assert_eq!(
        *rule("a/x.css").cache_fields,
        *b"Cache-Control: max-age=3600\r\n"
    );
    assert_eq!(
        *rule("a/x").error_pages,
        [
            (Status::Forbidden, "403.html".to_owned()),
            (Status::NotFound, "a/404.html".to_owned()),
        ]
    );
    assert!(map.rule(Map::BARE).fields.is_empty());
}

const PATTERNS: &[&str] = &[
    "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c.x", "/b/", "/b/a/", "/ab/", "*.x", "*.y.x",
];

/// A scope in which each key may be said or not.
fn scope() -> impl Strategy<Value = Scope> {
    let network = Network::parse("10.0.0.0/8").unwrap();
    (
        proptest::option::of(0u64..100),
        proptest::option::of(any::<bool>()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(any::<bool>()),
        0u8..3,
    )
        .prop_map(move |(max_body, dotfiles, listing, access, header)| Scope {
            max_body,
            dotfiles,
            listing,
            access: access.map(|somebody| Access {
                allow: Clients {
                    networks: if somebody { vec![network] } else { Vec::new() },
                    unix: false,
                },
                deny: Clients::default(),
            }),
            headers: (0..header)
                .map(|at| Header {
                    name: format!("X-{at}"),
                    value: max_body.map_or(String::new(), |value| value.to_string()),
                })
                .collect(),
            ..Scope::default()
        })
}

fn paths() -> impl Strategy<Value = Vec<PathRule>> {
    let content = prop_oneof![
        3 => Just(None),
        1 => "/[a-c]{1,3}".prop_map(|directory| Some(Said::Alias(directory.into()))),
    ];
    let one =
        (prop::sample::select(PATTERNS), scope(), content).prop_map(|(pattern, scope, content)| {
            let rule = path(pattern, scope);
            let is_prefix = matches!(rule.pattern, Pattern::Prefix(_));
            PathRule {
                content: content.filter(|_| is_prefix),
                ..rule
            }
        });
    prop::collection::vec(one, 0..8).prop_map(|mut rules| {
        let mut seen = Vec::new();
        rules.retain(|rule| {
            let new = !seen.contains(&rule.pattern);
            seen.push(rule.pattern.clone());
            new
        });
        rules
    })
}

/// Looks at every layer and lays those that fit on top of each other, by a
/// description of its own of which these are.
fn naive(http: &Http, path: &str, directory: bool) -> Draft {
    let host = &http.hosts[0];
    let mut draft = Draft::of(http);
    draft.put(&host.scope);
    let asked = format!("/{path}");
    let all = || http.paths.iter().chain(&host.paths);
    let is_exact = all().any(|rule| rule.pattern == Pattern::Exact(asked.clone()) && !directory);
    let mut fitting: Vec<(usize, &PathRule)> = Vec::new();
    for rule in all() {
        match &rule.pattern {
            Pattern::Exact(own) if is_exact && *own == asked => fitting.push((usize::MAX, rule)),
            Pattern::Prefix(own) if format!("{asked}/").starts_with(own.as_str()) => {
                fitting.push((own.len(), rule));
            }
            Pattern::Exact(_) | Pattern::Prefix(_) | Pattern::Extension(_) => {}
        }
    }
    fitting.sort_by_key(|(length, _)| *length);
    for (_, rule) in fitting {
        draft.put_layer(rule);
    }
    let name = asked.rsplit('/').next().unwrap().to_lowercase();
    let ending = |rule: &PathRule| match &rule.pattern {
        Pattern::Extension(own) if !directory && name.ends_with(own) && name != *own => {
            Some(own.clone())
        }
        Pattern::Extension(_) | Pattern::Exact(_) | Pattern::Prefix(_) => None,
    };
    let longest = all().filter_map(ending).max_by_key(String::len);
    for rule in all().filter(|rule| longest.is_some() && ending(rule) == longest) {
        draft.put_layer(rule);
    }
    draft
}

proptest! {
    #[test]
    fn the_flat_rules_are_what_a_merge_at_every_request_would_find(
        default in paths(),
        own in paths(),
        over in scope(),
        path in "(a|b|ab|c)(/(a|b|c|x)){0,3}([.](x|y[.]x|X|z))?|",
        directory in any::<bool>(),
    ) {
        let settings = Http {
            paths: default,
            hosts: vec![Host { scope: over, paths: own, ..host("h", &[]) }],
            ..http()
        };
        let map = Map::new(&settings);
        let host = map.host(b"h").unwrap();
        let directory = directory || path.is_empty();
        let found = map.rule(map.find(host, path.as_bytes(), directory));
        let merged = naive(&settings, &path, directory).finish(host, &settings.roots());
        prop_assert_eq!(format!("{:?}", found), format!("{:?}", merged));
    }
}

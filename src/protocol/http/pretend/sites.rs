//! A pretend site with hosts, rules for paths, passwords and listings.

use std::sync::{Arc, LazyLock};

use super::settings;
use crate::config::{
    Access, Auth, Clients, Content, ErrorPage, Forwarded, Header, Host, Http, Network, Passwords,
    PathRule, Pattern, Redirect, Respond, Scope, StatusPages, Trust,
};
use crate::protocol::OpenError;
use crate::protocol::harness::{Entry, World};
use crate::protocol::http::HttpService;

/// A rule that wants a password: ada's is "open", bob's is "sesame".
pub(crate) fn locked(pattern: &str) -> PathRule {
    static USERS: LazyLock<Arc<Passwords>> = LazyLock::new(|| {
        let line = |(user, password): (&str, &str)| {
            let hash = bcrypt::hash(password, 4).expect("a cost that is allowed");
            format!("{user}:{hash}\n")
        };
        let text: String = [("ada", "open"), ("bob", "sesame")].map(line).concat();
        Arc::new(Passwords::parse(&text).expect("a password file"))
    });
    let auth = Auth {
        realm: "a \"realm\"".to_owned(),
        file: "/htpasswd".into(),
        users: Arc::clone(&USERS),
    };
    PathRule {
        pattern: Pattern::parse(pattern).expect("a pattern of this file"),
        scope: Scope {
            auth: Some(Some(auth)),
            ..Scope::default()
        },
        content: None,
        cgi: None,
    }
}

/// Every path of the status, for 203.0.113.0/24, where the client is, but for
/// 203.0.113.66.
pub(crate) fn status() -> Box<StatusPages> {
    let clients = |text: &str| Clients {
        networks: vec![Network::parse(text).expect("a prefix of this file")],
        unix: false,
    };
    let at = |path: &str| Some(path.to_owned());
    Box::new(StatusPages {
        page: at("/server-status"),
        metrics: at("/metrics"),
        health: at("/healthz"),
        readiness: at("/readyz"),
        access: Access {
            allow: clients("203.0.113.0/24"),
            deny: clients("203.0.113.66"),
        },
    })
}

/// A rule under which directories are listed.
pub(crate) fn listed(pattern: &str) -> PathRule {
    PathRule {
        pattern: Pattern::parse(pattern).expect("a pattern of this file"),
        scope: Scope {
            listing: Some(true),
            ..Scope::default()
        },
        content: None,
        cgi: None,
    }
}

/// A host with a root of its own.
pub(crate) fn host(name: &str) -> Host {
    Host {
        name: name.to_owned(),
        names: Vec::new(),
        root: Some(format!("/srv/{name}").into()),
        scope: Scope::default(),
        paths: Vec::new(),
    }
}

/// A site with hosts and rules for paths.
pub(crate) fn site_of_rules() -> Http {
    let path = |pattern: &str| PathRule {
        pattern: Pattern::parse(pattern).expect("a pattern of this file"),
        scope: Scope::default(),
        content: None,
        cgi: None,
    };
    let with = |pattern: &str, content| PathRule {
        content: Some(content),
        ..path(pattern)
    };
    let redirect = |pattern: &str, to: &str, status| {
        let to = to.to_owned();
        with(pattern, Content::Redirect(Redirect { to, status }))
    };
    let respond = |pattern: &str, status, body: &str| {
        let content_type = "text/plain".to_owned();
        let body = body.to_owned();
        let respond = Respond {
            status,
            content_type,
            body,
        };
        with(pattern, Content::Respond(respond))
    };
    let clients = |text: &str| Clients {
        networks: vec![Network::parse(text).expect("a prefix of this file")],
        unix: false,
    };
    let page = |status, path: &str| ErrorPage {
        status,
        path: path.to_owned(),
    };
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut denied = path("/denied/");
    denied.scope.access = Some(Access {
        allow: Clients::default(),
        deny: clients("203.0.113.0/24"),
    });
    let mut hidden_index = path("/hidden-index/index.html");
    hidden_index.scope.access = denied.scope.access.clone();
    let mut proxied = path("/proxied/");
    proxied.scope.access = Some(Access {
        allow: clients("192.0.2.0/24"),
        deny: Clients::default(),
    });
    let mut small = path("/small/");
    small.scope.max_body = Some(10);
    let mut app = path("/app/");
    app.scope.fallback = Some(Some("/app/index.html".to_owned()));
    let mut css = path("*.css");
    css.scope.headers = vec![header("Cache-Control", "max-age=3600")];
    let mut broken = path("/broken-page/");
    broken.scope.error_pages = vec![page(404, "/nowhere.html")];
    Http {
        error_pages: vec![page(404, "/404.html"), page(403, "/403.html")],
        headers: vec![header("X-Frame-Options", "DENY")],
        trust: Trust {
            proxies: clients("203.0.113.9"),
            field: Forwarded::XForwardedFor,
        },
        paths: vec![
            with("/dl/", Content::Alias("/srv/dl".into())),
            redirect("/old", "/new", 301),
            redirect("/moved/", "/to/", 308),
            redirect("/away/", "https://example.net", 302),
            redirect("/ask/", "/find?by=name", 307),
            redirect("/all/", "/", 303),
            respond("/hello", 200, "Hello, World!"),
            respond("/gone/", 410, "gone"),
            respond("*.bak", 404, "no"),
            denied,
            hidden_index,
            proxied,
            small,
            app,
            css,
            broken,
            locked("/locked/"),
            locked("/index-locked/index.html"),
            listed("/listed/"),
        ],
        hosts: vec![
            host("example.org"),
            Host {
                name: "*.example.net".to_owned(),
                ..host("example.net")
            },
        ],
        ..settings()
    }
}

/// A site with programs: by their directory, which is root number 1, and by
/// their extension.
pub(crate) fn site_of_programs() -> Http {
    let programs = |pattern: &str, content| PathRule {
        pattern: Pattern::parse(pattern).expect("a pattern of this file"),
        scope: Scope::default(),
        content,
        cgi: Some(true),
    };
    Http {
        index: vec!["index.html".to_owned(), "index.cgi".to_owned()],
        max_body: 100_000,
        paths: vec![
            programs("/cgi-bin/", Some(Content::Alias("/srv/programs".into()))),
            programs("*.cgi", None),
        ],
        ..settings()
    }
}

/// That site, with the files of its roots.
pub(crate) fn world_of_rules(settings: Http) -> World {
    let file = |text: &str| Entry::File(text.as_bytes().to_vec(), 784_111_777);
    // The numbers are those of `Http::roots`.
    World::new(HttpService::new(settings))
        .with("a", file("of a"))
        .with("x", file("of the default host"))
        .with("x.gz", file("x, gzip"))
        .with("404.html", file("<p>nothing, alas</p>"))
        .with("404.html.gz", file("nothing, gzip"))
        .with("dir", Entry::Directory)
        .with("denied/a", file("secret"))
        .with("denied/404.html", file("secret"))
        .with("hidden-index/index.html", file("secret"))
        .with("proxied/a", file("for few"))
        .with("small/a", file("of small"))
        .with("style.css", file("p {}"))
        .with("style.css.gz", file("p, gzip"))
        .with("locked/a", file("for ada"))
        .with("index-locked/index.html", file("for bob"))
        .with("listed", Entry::Directory)
        .with("listed/<b>&", file("odd"))
        .with("listed/sub", Entry::Directory)
        .with("listed/small", file("s"))
        .with("listed/large", file("llllllllll"))
        .with("listed/.secret", file("hidden"))
        .with("listed/away", Entry::Fails(OpenError::Escapes))
        .with("listed/socket", Entry::Other)
        .with("app/index.html", file("<p>app</p>"))
        .with("app/index.html.gz", file("app, gzip"))
        .with("app/old.bak", file("secret"))
        .with("1:x", file("of example.org"))
        .with("1:dir", Entry::Directory)
        .with("2:x", file("of example.net"))
        .with("3:x", file("of dl"))
        .with("3:x.gz", file("dl, gzip"))
        .with("3:", Entry::Directory)
        .with("3:sub", Entry::Directory)
}

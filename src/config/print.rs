//! A configuration as text: what `preforkd check --print` shows.
//!
//! Owes a file that is read back to an equal configuration, and every key once:
//! the tables are filled field by field, so a new key cannot be forgotten.

mod app;
mod site;

use std::fmt;
use std::path::PathBuf;

use super::file::exec::ExecTable;
use super::file::http::{AccessLogTable, HttpTable};
use super::file::limits::LimitsTable;
use super::file::listen::ListenTable;
use super::file::logs::{LogTable, PoolLogTable};
use super::file::{MasterTable, PoolTable, ServiceName, UdpTable, Workers};
use super::kind::{At, Shown};
use super::place::Target;
use super::table::{Entry, Table};
use super::{
    Config, Datagrams, Endpoint, Exec, Facility, Http, Identity, Limits, Listen, Log, LogTarget,
    Master, Model, Pool, Service, Size,
};

/// The configuration as a file that says every key, with comments for those
/// that have no value. Whom workers run as is said in each pool.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_table(f, "[master]", &master(&self.master))?;
        for pool in &self.pools {
            let table = self::pool(pool);
            let idle = if pool.service.app().is_some() {
                super::app::MEANINGLESS
            } else if pool.is_datagram() {
                super::datagram::MEANINGLESS
            } else if pool.service.exec().is_some() && super::exec::is_local(&pool.listen) {
                super::exec::IDLE_ON_UNIX
            } else {
                &[]
            };
            write_table_but(idle, f, &format!("\n[pool.{}]", pool.name), &table)?;
            if let Some(limits) = &table.limits.value {
                write_table(f, &format!("\n[pool.{}.limits]", pool.name), limits)?;
            }
            if let Some(http) = &table.http.value {
                let header = format!("pool.{}.http", pool.name);
                write_table(f, &format!("\n[{header}]"), http)?;
                site::write(f, &header, http)?;
            }
            if let Some(udp) = &table.udp.value {
                write_table(f, &format!("\n[pool.{}.udp]", pool.name), udp)?;
            }
            if let Some(app) = &table.app.value {
                write_table(f, &format!("\n[pool.{}.app]", pool.name), app)?;
            }
            if let Some(exec) = &table.exec.value {
                write_table(f, &format!("\n[pool.{}.exec]", pool.name), exec)?;
            }
        }
        Ok(())
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, header: &str, table: &impl Table) -> fmt::Result {
    write_table_but(&[], f, header, table)
}

/// Writes a table, but for the values of the keys in `idle`, which mean nothing
/// here and would be refused.
fn write_table_but(
    idle: &[(&str, &str)],
    f: &mut fmt::Formatter<'_>,
    header: &str,
    table: &impl Table,
) -> fmt::Result {
    writeln!(f, "{header}")?;
    for (name, shown) in table.shown() {
        if let Some((_, why)) = idle.iter().find(|(one, _)| *one == name) {
            writeln!(f, "# {name}: no effect: {why}")?;
            continue;
        }
        match shown {
            Shown::Value(text) => writeln!(f, "{name} = {text}")?,
            Shown::Unset(what) => writeln!(f, "# {name}: {what}")?,
            Shown::Apart => {}
        }
    }
    Ok(())
}

fn master(master: &Master) -> MasterTable {
    let (to, facility, tag) = target(&master.log.to);
    MasterTable {
        pid_file: Entry::of(master.pid_file.clone()),
        control_socket: Entry::of(master.control_socket.clone()),
        control_group: Entry::of(master.control_group.map(|group| group.to_string())),
        user: Entry::of(None),
        group: Entry::of(None),
        log: Entry::of(LogTable {
            to: Entry::of(to),
            level: Entry::of(master.log.level),
            format: Entry::of(master.log.format),
            facility: Entry::of(facility),
            tag: Entry::of(tag),
        }),
        graceful_timeout: Entry::of(master.graceful_timeout),
        drain_delay: Entry::of(master.drain_delay),
        upgrade_timeout: Entry::of(master.upgrade_timeout),
        max_generations: Entry::of(master.max_generations),
        breaker_exit_after: Entry::of(master.breaker_exit_after),
        process_titles: Entry::of(master.process_titles),
    }
}

fn pool(pool: &Pool) -> PoolTable {
    let (service, message, http) = service(&pool.service);
    let (workers, [start, min_spare, max_spare, max]) = size(pool.size);
    let many = matches!(pool.model, Model::Event | Model::Fork) && !pool.is_datagram();
    let identity = pool.identity.as_ref();
    let group = |identity: &Identity| identity.gid.to_string();
    PoolTable {
        listen: Entry::of(pool.listen.iter().map(listen).collect()),
        service: Entry::of(service),
        message: Entry::of(message),
        allow: Entry::of(pool.access.allow.clone()),
        deny: Entry::of(pool.access.deny.clone()),
        denied: Entry::of(pool.denied),
        limits: Entry::of(pool.limits.as_ref().map(|one| limits(one, pool))),
        model: Entry::of(pool.model),
        accept: Entry::of(pool.accept),
        workers: Entry::of(workers),
        start_workers: Entry::of(start),
        min_spare_workers: Entry::of(min_spare),
        max_spare_workers: Entry::of(max_spare),
        max_workers: Entry::of(max),
        threads_per_worker: Entry::of(
            (pool.model == Model::Threads).then_some(pool.threads_per_worker),
        ),
        max_connections: Entry::of(many.then_some(pool.max_connections)),
        backlog: Entry::of(pool.backlog),
        defer_accept: Entry::of(pool.defer_accept),
        connections_per_worker: Entry::of(pool.connections_per_worker),
        requests_per_worker: Entry::of(pool.requests_per_worker),
        max_worker_memory: Entry::of(pool.max_worker_memory),
        min_worker_lifetime: Entry::of(pool.min_worker_lifetime),
        worker_timeout: Entry::of(pool.worker_timeout),
        spawn_timeout: Entry::of(pool.spawn_timeout),
        idle_timeout: Entry::of(pool.idle_timeout),
        write_timeout: Entry::of(pool.write_timeout),
        send_min_rate: Entry::of(pool.send_min_rate),
        linger_timeout: Entry::of(pool.linger_timeout),
        log: Entry::of(pool.log.as_ref().map(log)),
        user: Entry::of(identity.map(|identity| identity.user.clone())),
        group: Entry::of(identity.map(group)),
        http: Entry::of(http),
        udp: Entry::of(pool.is_datagram().then(|| datagrams(pool.datagrams))),
        app: Entry::of(pool.service.app().map(app::app)),
        exec: Entry::of(pool.service.exec().map(exec)),
    }
}

fn datagrams(datagrams: Datagrams) -> UdpTable {
    UdpTable {
        rate: Entry::of(datagrams.rate),
        burst: Entry::of(datagrams.burst),
        amplify: Entry::of(datagrams.amplify),
    }
}

fn limits(limits: &Limits, pool: &Pool) -> LimitsTable {
    let is_http = pool.service.http().is_some();
    LimitsTable {
        connections: Entry::of(limits.connections),
        connections_per_address: Entry::of(limits.connections_per_address),
        connections_per_network: Entry::of(limits.connections_per_network),
        ipv4_network: Entry::of(limits.ipv4_network),
        ipv6_network: Entry::of(limits.ipv6_network),
        accept_rate: Entry::of(limits.accept_rate),
        burst: Entry::of(limits.accept_rate.map(|rate| rate.burst)),
        random_early_drop: Entry::of(limits.random_early_drop),
        exempt: Entry::of(limits.exempt.clone()),
        full: Entry::of(limits.full),
        over: Entry::of(limits.over),
        banner: Entry::of(limits.banner.clone()),
        retry_after: Entry::of((is_http && limits.answers()).then_some(limits.retry_after)),
        dry_run: Entry::of(limits.dry_run),
    }
}

fn log(log: &Log) -> PoolLogTable {
    let (to, facility, tag) = target(&log.to);
    PoolLogTable {
        to: Entry::of(Some(to)),
        level: Entry::of(Some(log.level)),
        format: Entry::of(Some(log.format)),
        facility: Entry::of(facility),
        tag: Entry::of(tag),
    }
}

fn listen(endpoint: &Endpoint) -> At<ListenTable> {
    let listen = &endpoint.listen;
    let (v6only, mode) = match listen {
        Listen::Tcp { address, v6only } | Listen::Udp { address, v6only } => {
            (address.is_ipv6().then_some(*v6only), None)
        }
        Listen::Unix { mode, .. } => (None, Some(*mode)),
        Listen::Fd { .. } => (None, None),
    };
    let (proxy, options) = (endpoint.proxy.as_ref(), &endpoint.options);
    let keepalive = options.keepalive;
    // What is the default is not said: an address alone is easier to read.
    At {
        value: ListenTable {
            address: Entry::of(Some(listen.clone())),
            v6only: Entry::of(v6only),
            mode: Entry::of(mode),
            proxy_protocol: Entry::of(proxy.map(|_| true)),
            proxy_from: Entry::of(proxy.map(|one| one.from.clone())),
            proxy_timeout: Entry::of(proxy.map(|one| one.timeout)),
            backlog: Entry::of(options.backlog),
            defer_accept: Entry::of(options.defer_accept),
            nodelay: Entry::of((!options.nodelay).then_some(false)),
            keepalive: Entry::of(keepalive.map(|_| true)),
            keepalive_idle: Entry::of(keepalive.and_then(|one| one.idle)),
            keepalive_interval: Entry::of(keepalive.and_then(|one| one.interval)),
            keepalive_count: Entry::of(keepalive.and_then(|one| one.count)),
            user_timeout: Entry::of(options.user_timeout),
            fin_timeout: Entry::of(options.fin_timeout),
            fastopen: Entry::of(options.fastopen),
            rcvbuf: Entry::of(options.rcvbuf),
            sndbuf: Entry::of(options.sndbuf),
            tos: Entry::of(options.tos),
            mark: Entry::of(options.mark),
            freebind: Entry::of(options.freebind.then_some(true)),
            transparent: Entry::of(options.transparent.then_some(true)),
        },
        span: 0..0,
    }
}

/// The keys `service`, `message` and `http`.
fn service(service: &Service) -> (Option<ServiceName>, Option<String>, Option<HttpTable>) {
    match service {
        Service::Echo => (Some(ServiceName::Echo), None, None),
        Service::Discard => (Some(ServiceName::Discard), None, None),
        Service::Daytime => (Some(ServiceName::Daytime), None, None),
        Service::Time => (Some(ServiceName::Time), None, None),
        Service::Chargen => (Some(ServiceName::Chargen), None, None),
        Service::Message(text) => {
            let text = String::from_utf8_lossy(text).into_owned();
            (Some(ServiceName::Message), Some(text), None)
        }
        Service::Http(http) => (Some(ServiceName::Http), None, Some(self::http(http))),
        Service::App(_) => (Some(ServiceName::App), None, None),
        Service::Exec(_) => (Some(ServiceName::Exec), None, None),
        Service::Custom => (None, None, None),
    }
}

/// The key `workers`, and the four of a spare-driven pool.
fn size(size: Size) -> (Option<Workers>, [Option<u32>; 4]) {
    match size {
        Size::Fixed(workers) => (Some(Workers::Fixed(workers)), [None; 4]),
        Size::Spare {
            start,
            min_spare,
            max_spare,
            max,
        } => (None, [start, min_spare, max_spare, max].map(Some)),
    }
}

fn http(http: &Http) -> HttpTable {
    let (to, facility, tag) = target(&http.access_log);
    HttpTable {
        root: Entry::of(Some(http.root.clone())),
        index: Entry::of(http.index.clone()),
        access_log: Entry::of(AccessLogTable {
            to: Entry::of(to),
            format: Entry::of(http.access_log_format),
            facility: Entry::of(facility),
            tag: Entry::of(tag),
        }),
        request_id: Entry::of(http.request_id),
        dotfiles: Entry::of(http.dotfiles),
        mime_types: Entry::of(http.mime_types.as_ref().map(|types| types.path.clone())),
        charset: Entry::of(http.charset.clone()),
        precompressed: Entry::of(http.precompressed),
        gzip: Entry::of(http.gzip),
        gzip_min_size: Entry::of(http.gzip_min_size),
        gzip_cache: Entry::of(http.gzip_cache),
        file_cache: Entry::of(http.file_cache),
        header_timeout: Entry::of(http.header_timeout),
        body_timeout: Entry::of(http.body_timeout),
        body_min_rate: Entry::of(http.body_min_rate),
        keepalive_timeout: Entry::of(http.keepalive_timeout),
        keepalive_requests: Entry::of(http.keepalive_requests),
        max_target: Entry::of(http.max_target),
        max_header: Entry::of(http.max_header),
        max_fields: Entry::of(http.max_fields),
        max_body: Entry::of(http.max_body),
        symlinks: Entry::of(http.symlinks),
        listing: Entry::of(http.listing),
        fallback: Entry::of(http.fallback.clone()),
        error_pages: Entry::of(http.error_pages.clone()),
        headers: Entry::of(http.headers.clone()),
        allow: Entry::of(http.access.allow.clone()),
        deny: Entry::of(http.access.deny.clone()),
        auth: Entry::of(http.auth.as_ref().map(site::auth)),
        trusted_proxies: Entry::of(http.trust.proxies.clone()),
        forwarded: Entry::of(http.trust.field),
        strict_hosts: Entry::of(http.strict_hosts),
        status: Entry::of(http.status.as_deref().map(site::status)),
        cgi: Entry::of(site::cgi(&http.cgi)),
        path: Entry::of(site::paths(&http.paths)),
        host: Entry::of(site::hosts(&http.hosts)),
    }
}

fn exec(exec: &Exec) -> ExecTable {
    ExecTable {
        command: Entry::of(Some(exec.command.clone())),
        directory: Entry::of(exec.directory.clone()),
        environment: Entry::of(exec.environment.clone()),
        pass: Entry::of(exec.pass.clone()),
        stderr: Entry::of(exec.stderr),
        timeout: Entry::of(exec.timeout),
        grace: Entry::of(exec.grace),
        umask: Entry::of(exec.umask),
        nice: Entry::of(exec.nice),
        memory: Entry::of(exec.memory),
        processor_time: Entry::of(exec.processor_time),
        open_files: Entry::of(exec.open_files),
        processes: Entry::of(exec.processes),
        file_size: Entry::of(exec.file_size),
        core: Entry::of(exec.core),
    }
}

/// The keys `to`, `facility` and `tag`.
fn target(target: &LogTarget) -> (Target, Option<Facility>, Option<String>) {
    match target {
        LogTarget::Off => (Target::Off, None, None),
        LogTarget::Stderr => (Target::Stderr, None, None),
        LogTarget::File(path) => (Target::File(PathBuf::from(path)), None, None),
        LogTarget::Syslog { facility, tag } => (Target::Syslog, Some(*facility), Some(tag.clone())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::file::keys;
    use crate::config::parse;
    use crate::config::system::Pretend;
    use proptest::prelude::*;
    use std::path::Path;
    use std::time::Duration;

    fn load(text: &str) -> Config {
        parse(text, "f", Path::new("/srv"), &Pretend::default())
            .unwrap()
            .config
    }

    const ALL_SORTS: &str = r#"
        [master]
        pid_file = "p.pid"
        control_socket = "control"
        control_group = "adm"
        drain_delay = "5s"
        log = { to = "syslog", facility = "local7", tag = "x" }
        user = "www"
        [pool.files]
        listen = ["127.0.0.1:80", { address = "[::1]:80", v6only = false }]
        service = "http"
        max_workers = 5
        group = "adm"
        [pool.files.http]
        root = "/srv/www"
        index = ["index.html", "a\"b"]
        access_log = "./a.log"
        mime_types = "/etc/mime.types"
        charset = "off"
        gzip = true
        max_body = 12345
        headers = { "X-A" = "b \"c\"", "Cache-Control" = "no-cache" }
        error_pages = { 404 = "/404.html" }
        allow = ["10.0.0.0/8", "unix:"]
        trusted_proxies = "::1"
        forwarded = "forwarded"
        auth = { file = "htpasswd", realm = "a \"realm\"" }
        [pool.files.http.path."/down loads/*"]
        alias = "/srv"
        listing = true
        symlinks = "never"
        fallback = "off"
        auth = "off"
        [pool.files.http.path."*.BAK"]
        respond = { status = 410, body = "gone\n", content_type = "text/x" }
        [pool.files.http.host."Example.org."]
        names = "*.example.org"
        deny = []
        [pool.files.http.host."Example.org.".path."/old"]
        redirect = "https://example.net/new?a=b"
        redirect_status = 308
        [pool.files.http.status]
        metrics = "off"
        allow = ["10.0.0.0/8"]
        [pool.files.http.cgi]
        memory = "64MiB"
        pass = []
        [pool.files.http.path."/cgi-bin/"]
        alias = "/srv"
        cgi = true
        [pool.files.http.path."*.php"]
        cgi = false
        [pool.files.http.host."example.net"]
        root = "/srv/www"
        fallback = "/index.html"
        [pool.options]
        service = "echo"
        listen = [
            { address = "9081", proxy_protocol = true, proxy_from = ["10.0.0.0/8", "unix:"] },
            { address = "9082", backlog = 5, defer_accept = "2s", nodelay = false, tos = "AF21" },
            { address = "9083", keepalive = true, fin_timeout = "9s", rcvbuf = "64KiB", sndbuf = 5000 },
            { address = "9084", keepalive = true, keepalive_idle = "60s", keepalive_interval = "6s" },
            { address = "9085", user_timeout = "30s", fastopen = 5, mark = 7, freebind = true },
            { address = "9086", transparent = true, keepalive = true, keepalive_count = 3 },
        ]
        [pool.text]
        listen = { address = "unix:s", mode = "0640" }
        service = "message"
        message = "one\ntwo \\ \u0001"
        model = "threads"
        log = { to = "./text.log", level = "debug", format = "json" }
        idle_timeout = "1h30m5s250ms"
        deny = ["unix:", "192.0.2.0/24"]
        denied = "reset"
        [pool.text.limits]
        connections = 100
        accept_rate = "20/m"
        burst = 7
        random_early_drop = "10:30:100"
        exempt = "127.0.0.1"
        full = "answer"
        banner = "full\n"
        dry_run = true
        [pool.program]
        listen = ["127.0.0.1:82", "unix:p"]
        service = "app"
        workers = 3
        [pool.program.app]
        command = ["prog", "a b", "\"\\"]
        directory = "www"
        environment = ["TZ=UTC", "EMPTY="]
        pass = "LANG"
        fd_names = ["http", "local"]
        umask = "0077"
        open_files = 1024
        processor_time = "5s"
        ready = "notify"
        stop_signal = "WINCH"
        reopen_signal = "USR1"
        stdout = "off"
        [pool.many]
        listen = ":81"
        service = "chargen"
        model = "event"
        accept = "reuseport"
        log = { tag = "many" }
        max_connections = 9
        [pool.datagrams]
        listen = ["udp:81", { address = "udp:[::1]:82", v6only = false }]
        service = "chargen"
        workers = 2
        [pool.datagrams.udp]
        rate = 0
        amplify = true
        [pool.session]
        listen = ":92"
        service = "exec"
        model = "fork"
        [pool.session.exec]
        command = ["cat", "a \"b\""]
        environment = ["LANG=C"]
        stderr = "socket"
        umask = "0077"
        file_size = "1MiB"
        [pool.other]
        listen = ":93"
        service = "exec"
        [pool.other.exec]
        command = ["./prog"]
        directory = "/srv"
        pass = []
        timeout = "1h"
    "#;

    #[test]
    fn what_is_shown_is_read_back_equal() {
        let config = load(ALL_SORTS);
        let shown = config.to_string();
        assert_eq!(load(&shown), config, "{shown}");
        assert_eq!(load(&shown).to_string(), shown);
    }

    #[test]
    fn every_key_is_shown() {
        let shown = load(ALL_SORTS).to_string();
        for key in keys() {
            let inline = [
                "[master] log",
                "[pool.NAME] listen",
                "[pool.NAME] log",
                "[pool.NAME.http] access_log",
                "[pool.NAME.http] auth",
                "[pool.NAME.http.path.\"PATH\"] respond",
            ];
            // These are headers.
            let tables = ["http", "limits", "host", "cgi", "status", "exec"];
            if inline.contains(&key.table) || tables.contains(&key.name) {
                continue;
            }
            let value = format!("{} = ", key.name);
            let unset = format!("# {}: ", key.name);
            let begins = |line: &str| line.starts_with(&value) || line.starts_with(&unset);
            assert!(shown.lines().any(begins), "{key:?}\n{shown}");
        }
    }

    #[test]
    fn values_look_as_an_administrator_writes_them() {
        let shown = load(ALL_SORTS).to_string();
        for line in [
            r#"log = { to = "syslog", level = "info", format = "text", facility = "local7", tag = "x" }"#,
            r#"log = { to = "/srv/text.log", level = "debug", format = "json" }"#,
            r#"log = { to = "syslog", level = "info", format = "text", facility = "local7", tag = "many" }"#,
            r#"listen = ["127.0.0.1:80", { address = "[::1]:80", v6only = false }]"#,
            r#"idle_timeout = "1h30m5s250ms""#,
            r#"max_header = "32KiB""#,
            r#"access_log = { to = "/srv/a.log", format = "combined" }"#,
            r#"# threads_per_worker: 16; only with model = "threads""#,
            "max_workers = 5",
            OPTIONS,
        ] {
            assert!(shown.lines().any(|l| l == line), "{line}\n{shown}");
        }
    }

    const OPTIONS: &str = r#"listen = [{ address = "0.0.0.0:9081", proxy_protocol = true, proxy_from = ["10.0.0.0/8", "unix:"], proxy_timeout = "3s" }, { address = "0.0.0.0:9082", backlog = 5, defer_accept = "2s", nodelay = false, tos = "AF21" }, { address = "0.0.0.0:9083", keepalive = true, fin_timeout = "9s", rcvbuf = "64KiB", sndbuf = "5000B" }, { address = "0.0.0.0:9084", keepalive = true, keepalive_idle = "60s", keepalive_interval = "6s" }, { address = "0.0.0.0:9085", user_timeout = "30s", fastopen = 5, mark = 7, freebind = true }, { address = "0.0.0.0:9086", keepalive = true, keepalive_count = 3, transparent = true }]"#;

    proptest! {
        #[test]
        fn any_pool_is_read_back(
            start in 1u32..5,
            spare in 1u32..5,
            more in 0u32..5,
            ms in 1u64..86_400_000,
            octets in 512usize..65536,
            text in "[ -~]{0,10}[\u{1}-\u{ff}]{1,10}",
        ) {
            let mut pool = Pool::with_defaults("p", Service::Message(text.into_bytes()));
            pool.listen = vec![crate::config::parse_listen("127.0.0.1:0").unwrap().into()];
            pool.size = Size::Spare {
                start,
                min_spare: spare,
                max_spare: spare + more,
                max: 10,
            };
            pool.write_timeout = Duration::from_millis(ms);
            let mut http = Http::with_defaults("/srv/www");
            http.max_header = octets;
            http.max_target = 64;
            let mut site = Pool::with_defaults("q", Service::Http(http));
            site.listen.clone_from(&pool.listen);
            let config = Config {
                master: Master::with_defaults(),
                pools: vec![pool, site],
            };
            prop_assert_eq!(load(&config.to_string()), config);
        }
    }
}

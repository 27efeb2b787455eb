//! What the configuration file may say: its tables and keys, and where in the
//! text each value stands.
//!
//! Reading goes on past a wrong value, so that one run shows all mistakes. What
//! depends on several keys, or on the machine, is left to [`check`](super::check).

pub(crate) mod app;
pub(crate) mod exec;
pub(crate) mod http;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod logs;
pub(crate) mod site;

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kind::{At, FilePath, Flag, Kind, Optional, Shown, Text, Word, cannot_be, wrong_type};
use super::limits::{DENIED, Refusal};
use super::mistake::{Mistake, Span};
use super::network::{ClientList, Clients};
use super::number::{Count, NO_LIMIT, Size, Time};
use super::place::Listens;
use super::table::{Key, Shorthand, SubTable, Table, in_order, table, unknown_key};
use super::wording::{abridged, printable, quote};
use super::{Accept, Model};
use app::AppTable;
use exec::ExecTable;
use http::{AccessLogTable, HttpTable};
use limits::LimitsTable;
use listen::ListenTable;
use logs::{LOG, LogTable, PoolLogTable};
use site::{AuthTable, CgiTable, HostTable, PathTable, RespondTable, StatusTable};

/// A file that could be parsed, each value typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) master: MasterTable,
    /// In the order of the file.
    pub(crate) pools: Vec<PoolSection>,
}

/// A `[pool.NAME]` table.
#[derive(Clone, Debug)]
pub(crate) struct PoolSection {
    pub(crate) name: String,
    /// Its header.
    pub(crate) span: Span,
    pub(crate) table: PoolTable,
}

/// The word of the key `service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceName {
    Echo,
    Discard,
    Daytime,
    Time,
    Chargen,
    Message,
    Http,
    App,
    Exec,
}

/// The value of the key `workers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workers {
    /// One a processor.
    Auto,
    Fixed(u32),
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Any duration that is one, and not so long that it is a slip.
const TIMEOUT: Time = Time { min: MS, max: DAY };

/// The largest number of workers, and of anything that is counted in them.
pub(crate) const MOST_WORKERS: u32 = 4096;
const WORKERS: Count<u32> = Count {
    min: 1,
    max: MOST_WORKERS,
};
const ANY: Count<u64> = Count {
    min: 0,
    max: NO_LIMIT,
};

const USER: Text = Text {
    max: 64,
    what: "a user's name or number",
};
const GROUP: Text = Text {
    max: 64,
    what: "a group's name or number",
};
const SPARE: &str = "by the size of the pool; only with model = \"prefork\" and no `workers`";

table! {
    /// `[master]`.
    MasterTable in "[master]" {
        pid_file: Option<PathBuf> = Optional(FilePath, "no pid file"), None,
            "A file that holds the master's process id, locked while it lives.";
        control_socket: Option<PathBuf> = Optional(FilePath, "no control socket"), None,
            "A unix socket on which `preforkd status` and its like talk to the master.";
        control_group: Option<String> = Optional(GROUP, "nobody but root and the master's own user"), None,
            "The group whose members may do so as well, orders included.";
        user: Option<String> = Optional(USER, "the user that started the master"), None,
            "Whom workers run as, unless their pool says otherwise; needs root.";
        group: Option<String> = Optional(GROUP, "the user's primary group"), None,
            "The workers' group; only beside `user`.";
        log: LogTable = Shorthand(LOG), LogTable::default(),
            "Where messages go, and which.";
        graceful_timeout: Duration = TIMEOUT, Duration::from_secs(30),
            "How long a stop, or the drain of the workers that a reload replaces, may take.";
        drain_delay: Duration = Time { min: Duration::ZERO, max: HOUR }, Duration::ZERO,
            "How long a stop that is asked for says so on the readiness path, and serves on as ever, before it begins.";
        upgrade_timeout: Duration = Time { min: SECOND, max: DAY }, Duration::from_secs(30),
            "How long the new master of an upgrade may take until it serves.";
        max_generations: u32 = Count { min: 2, max: 16 }, 4,
            "How many generations of workers may live at once while reloads overtake each other.";
        breaker_exit_after: Duration = Time { min: Duration::ZERO, max: DAY }, Duration::ZERO,
            "How long a pool may find no worker that lives before the master stops what still serves and exits with status 75; 0s is never.";
        process_titles: bool = Flag, true,
            "Whether ps shows what each process is doing.";
    }
}

table! {
    /// `[pool.NAME]`.
    PoolTable in "[pool.NAME]" {
        listen: Vec<At<ListenTable>> = Listens, Vec::new(),
            "Where the pool listens: one address, or an array of them, 64 at most.";
        service: Option<ServiceName> = Optional(Word(SERVICES), "required"), None,
            "What a connection gets.";
        message: Option<String> = Optional(
                Text { max: 65536, what: "a text" }, "only for service = \"message\""), None,
            "The text that the service message sends, octet for octet.";
        allow: Clients = ClientList, Clients::default(),
            "Who may connect, by address prefix, and \"unix:\"; the longest prefix that fits decides, and nobody named is everybody.";
        deny: Clients = ClientList, Clients::default(),
            "Who may not.";
        denied: Refusal = Word(DENIED), Refusal::Close,
            "What becomes of who may not: an end without a word, or RST.";
        limits: Option<LimitsTable> = Optional(SubTable, "no limits but those of the workers"), None,
            "How many clients may be in at once, and how fast they may come.";
        model: Model = Word(MODELS), Model::Prefork,
            "How a worker spends itself: one connection at a time, many in one loop, a thread or a process for each.";
        accept: Accept = Word(ACCEPTS), Accept::Shared,
            "Whether workers accept on the same sockets or each on sockets of its own (SO_REUSEPORT).";
        workers: Option<Workers> = Optional(WorkersKind,
                "as many as keep some spare with model = \"prefork\", \"auto\" with event, threads, app and datagrams, 1 with fork, 8 with prefork and reuseport"),
            None,
            "A fixed number of workers; \"auto\" is one a processor.";
        start_workers: Option<u32> = Optional(WORKERS, SPARE), None,
            "Workers to begin with; usually 8.";
        min_spare_workers: Option<u32> = Optional(WORKERS, SPARE), None,
            "With fewer idle workers than this more are started; usually 4.";
        max_spare_workers: Option<u32> = Optional(WORKERS, SPARE), None,
            "With more idle workers than this some are retired; usually 16.";
        max_workers: Option<u32> = Optional(WORKERS, SPARE), None,
            "Never more workers than this; usually 256.";
        threads_per_worker: Option<u32> = Optional(
                Count { min: 1, max: 1024 }, "16; only with model = \"threads\""), None,
            "Threads of a worker, each serving one connection.";
        max_connections: Option<u32> = Optional(Count { min: 1, max: 1 << 20 },
                "10240 with model = \"event\", 256 with model = \"fork\" or service = \"exec\"; only with these models"), None,
            "Connections a worker holds at once; more wait in the backlog.";
        backlog: u32 = Count { min: 1, max: 1 << 20 }, 4096,
            "The accept queue of each socket; no longer than net.core.somaxconn.";
        defer_accept: Duration = Time { min: Duration::ZERO, max: MINUTE }, Duration::ZERO,
            "How long the kernel keeps a TCP client to itself that has sent nothing yet (TCP_DEFER_ACCEPT), in seconds, rounded up; 0s is not at all. Who waits so for longer than a second is lost when the socket goes.";
        connections_per_worker: u64 = ANY, 0,
            "Connections after which a worker is replaced, a tenth more or less; 0 is never.";
        requests_per_worker: u64 = ANY, 0,
            "Requests after which a worker is replaced, a tenth more or less; 0 is never.";
        max_worker_memory: u64 = Size { min: 0, max: 1 << 40 }, 0,
            "Memory of its own with which a worker is replaced; 0 is never.";
        min_worker_lifetime: Duration = TIMEOUT, SECOND,
            "How long a worker serves at least before it is replaced for any of these.";
        worker_timeout: Duration = Time { min: SECOND, max: DAY }, Duration::from_secs(60),
            "How long a worker may show no sign of life before it is killed.";
        spawn_timeout: Duration = Time { min: 100 * MS, max: DAY }, Duration::from_secs(10),
            "How long a worker may take until it is ready to serve.";
        idle_timeout: Duration = TIMEOUT, Duration::from_secs(60),
            "Silence after which a connection is closed; http has timeouts of its own.";
        write_timeout: Duration = TIMEOUT, Duration::from_secs(30),
            "How long a client may take none of what is sent to it.";
        send_min_rate: u64 = Size { min: 0, max: 1 << 30 }, 500,
            "How much a second a client must take, on the average over each `write_timeout` in which it makes the server wait; 0 is any.";
        linger_timeout: Duration = TIMEOUT, Duration::from_secs(2),
            "How long a closing connection waits for the client to close its side.";
        log: Option<PoolLogTable> = Optional(Shorthand(logs::POOL_LOG), "that of [master]"), None,
            "Where its workers' messages go, and which; the master's own stay in its log.";
        user: Option<String> = Optional(USER, "that of [master]"), None,
            "Whom the pool's workers run as; needs root.";
        group: Option<String> = Optional(GROUP, "that of [master], or the user's primary group"), None,
            "The group of the pool's workers.";
        http: Option<HttpTable> = Optional(SubTable, "only for service = \"http\""), None,
            "What the service http needs to know.";
        udp: Option<UdpTable> = Optional(SubTable, "only with an address that begins with udp:"), None,
            "What holds for datagrams.";
        app: Option<AppTable> = Optional(SubTable, "only for service = \"app\""), None,
            "What the service app needs to know: programs that accept for themselves.";
        exec: Option<ExecTable> = Optional(SubTable, "only for service = \"exec\""), None,
            "What the service exec needs to know.";
    }
}

table! {
    /// `[pool.NAME.udp]`.
    UdpTable in "[pool.NAME.udp]" {
        rate: u32 = Count { min: 0, max: 1_000_000_000 }, 100,
            "Answers a second that a source gets from each worker on the average: an IPv4 address, or the first 64 bits of an IPv6 address; 0 is any.";
        burst: u32 = Count { min: 1, max: 1_000_000_000 }, 200,
            "Answers that a source gets at once which has had none for a while.";
        amplify: bool = Flag, false,
            "Whether chargen answers with up to 512 octets whatever it is asked with, instead of with as many as came: who forges the sender's address multiplies what it sends.";
    }
}

const SERVICES: &[(&str, ServiceName)] = &[
    ("http", ServiceName::Http),
    ("echo", ServiceName::Echo),
    ("discard", ServiceName::Discard),
    ("daytime", ServiceName::Daytime),
    ("time", ServiceName::Time),
    ("chargen", ServiceName::Chargen),
    ("message", ServiceName::Message),
    ("app", ServiceName::App),
    ("exec", ServiceName::Exec),
];

const MODELS: &[(&str, Model)] = &[
    (Model::Prefork.name(), Model::Prefork),
    (Model::Event.name(), Model::Event),
    (Model::Threads.name(), Model::Threads),
    (Model::Fork.name(), Model::Fork),
];

const ACCEPTS: &[(&str, Accept)] = &[
    (Accept::Shared.name(), Accept::Shared),
    (Accept::Reuseport.name(), Accept::Reuseport),
];

/// The tables at the top of the file.
const TOP: &[&str] = &["master", "pool"];

/// Every key of every table once, for the manual.
pub fn keys() -> Vec<Key> {
    let mut keys = MasterTable::keys();
    keys.extend(LogTable::keys());
    keys.extend(PoolTable::keys());
    keys.extend(PoolLogTable::keys());
    keys.extend(LimitsTable::keys());
    keys.extend(ListenTable::keys());
    keys.extend(UdpTable::keys());
    keys.extend(HttpTable::keys());
    keys.extend(AccessLogTable::keys());
    keys.extend(AuthTable::keys());
    keys.extend(HostTable::keys());
    keys.extend(PathTable::keys());
    keys.extend(RespondTable::keys());
    keys.extend(StatusTable::keys());
    keys.extend(CgiTable::keys());
    keys.extend(AppTable::keys());
    keys.extend(ExecTable::keys());
    keys
}

/// The table that has a key of this name, if one has.
pub(crate) fn home_of(name: &str) -> Option<&'static str> {
    keys()
        .into_iter()
        .find(|key| key.name == name)
        .map(|key| key.table)
}

/// Reads the text of a file. `Err` is a text that is no TOML; what else is wrong
/// goes to `found`, and the values concerned keep their defaults.
pub(crate) fn read(text: &str, found: &mut Vec<Mistake>) -> Result<File, Mistake> {
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        Mistake::error(span, error.message(), "")
    })?;
    let mut file = File::default();
    // Where to say that there is no pool.
    let mut empty_at = Some(0..0);
    for (key, value) in in_order(document.get_ref()) {
        match key.get_ref().as_ref() {
            "master" => match value.get_ref().as_table() {
                Some(entries) => file.master = MasterTable::read(entries, "[master]", found),
                None => found.push(wrong_type("master", value, "the table [master]")),
            },
            "pool" => match value.get_ref().as_table() {
                Some(entries) => {
                    file.pools = read_pools(entries, found);
                    empty_at = entries.is_empty().then(|| key.span());
                }
                None => {
                    found.push(wrong_type("pool", value, "tables [pool.NAME]"));
                    empty_at = None;
                }
            },
            name => found.push(unknown_key(key.span(), name, "the file", TOP)),
        }
    }
    if let Some(at) = empty_at {
        let message = "there is no pool, so there is nothing to serve";
        let expected = "expected a table [pool.NAME] with `listen` and `service`";
        found.push(Mistake::error(at, message, expected));
    }
    Ok(file)
}

fn read_pools(entries: &DeTable<'_>, found: &mut Vec<Mistake>) -> Vec<PoolSection> {
    let mut pools = Vec::new();
    for (key, value) in in_order(entries) {
        let name = key.get_ref().as_ref();
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !(1..=32).contains(&name.len()) || !name.bytes().all(fits) {
            let message = format!("a pool cannot be called {}", abridged(name));
            let expected = "expected 1 to 32 letters, digits, - or _";
            found.push(Mistake::error(key.span(), message, expected));
        }
        let Some(entries) = value.get_ref().as_table() else {
            found.push(stray_pool_key(key.span(), name, value));
            continue;
        };
        let place = format!("[pool.{}]", printable(name));
        pools.push(PoolSection {
            name: name.to_owned(),
            span: key.span(),
            table: PoolTable::read(entries, &place, found),
        });
    }
    pools
}

/// `[pool]` with the keys of a pool in it, for want of a name.
fn stray_pool_key(key: Span, name: &str, value: &Spanned<DeValue<'_>>) -> Mistake {
    if PoolTable::NAMES.contains(&name) {
        let message = format!("`{name}` stands in [pool], which holds only pools");
        return Mistake::error(key, message, "give the pool a name: [pool.NAME]");
    }
    wrong_type(name, value, "a table [pool.NAME]")
}

/// `workers`: a number or the word auto.
struct WorkersKind;

impl Kind<Workers> for WorkersKind {
    fn expected(&self) -> String {
        format!("\"auto\" or {}", WORKERS.expected())
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Workers> {
        match value.get_ref() {
            DeValue::Integer(_) => WORKERS.read(name, value, found).map(Workers::Fixed),
            DeValue::String(text) if text == "auto" => Some(Workers::Auto),
            DeValue::String(text) => {
                let expected = format!("expected {}", self.expected());
                cannot_be(name, value, text, expected, found)
            }
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                found.push(wrong_type(name, value, &self.expected()));
                None
            }
        }
    }

    fn show(&self, value: &Workers) -> Shown {
        match value {
            Workers::Auto => Shown::Value(quote("auto")),
            Workers::Fixed(workers) => WORKERS.show(workers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Where each mistake begins, and its words.
    fn mistakes(text: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        if let Err(mistake) = read(text, &mut found) {
            found.push(mistake);
        }
        found
            .into_iter()
            .map(|m| (m.span.start, format!("{}; {}", m.message, m.expected)))
            .collect()
    }

    #[test]
    fn an_unknown_key_is_guessed_or_sent_home() {
        for (text, at, expected) in [
            (
                "[pool.p]\nlisten='1'\nservce='echo'",
                20,
                "unknown key `servce` in [pool.p]; did you mean `service`?",
            ),
            (
                "[pool.p]\nroot='/'",
                9,
                "unknown key `root` in [pool.p]; `root` belongs to [pool.NAME.http]",
            ),
            (
                "[pool.p]\nfrobnicate=1",
                9,
                "unknown key `frobnicate` in [pool.p]; expected one of: listen, service, ",
            ),
            (
                "[pool.p]\n\"a\\u001b\"=1",
                9,
                "unknown key `a\\u{1b}` in [pool.p]; ",
            ),
            (
                "log='off'\n[pool.p]",
                0,
                "unknown key `log` in the file; `log` belongs to [master]",
            ),
            (
                "[pool.p]\n[maser]",
                10,
                "unknown key `maser` in the file; did you mean `master`?",
            ),
            (
                "[pool.p]\nhttp={rot='/'}",
                15,
                "unknown key `rot` in `http`; did you mean `root`?",
            ),
            (
                "[pool.p]\nlisten=[{port=1}]",
                18,
                "unknown key `port` in `listen`; expected one of: address, ",
            ),
        ] {
            let found = mistakes(text);
            let (start, words) = &found[0];
            assert!(
                *start == at && words.starts_with(expected),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn tables_are_tables_and_pools_have_names() {
        for (text, expected) in [
            (
                "pool=1",
                "`pool` is an integer; expected tables [pool.NAME]",
            ),
            (
                "master=1\n[pool.p]",
                "`master` is an integer; expected the table [master]",
            ),
            (
                "[[pool]]",
                "`pool` is an array; expected tables [pool.NAME]",
            ),
            ("[pool]", "there is no pool"),
            (
                "[pool]\nlisten='1'",
                "`listen` stands in [pool], which holds only pools; give the pool a name",
            ),
            (
                "[pool]\nweb=1",
                "`web` is an integer; expected a table [pool.NAME]",
            ),
            (
                "[pool.'a b']",
                "a pool cannot be called \"a b\"; expected 1 to 32 letters",
            ),
            ("[pool.'']", "a pool cannot be called \"\""),
            (
                "[pool.p]\nhttp='/srv'",
                "`http` is a string; expected the table [pool.NAME.http]",
            ),
            (
                "[pool.p]\nlisten=8080",
                "`listen` is an integer; expected an address",
            ),
            (
                "[pool.p]\nlisten=['example.org:80']",
                "\"example.org:80\" is not an address to listen on; ",
            ),
            (
                "[master]\nlog=3\n[pool.p]",
                "`log` is an integer; expected \"stderr\", ",
            ),
        ] {
            let found = mistakes(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].1.starts_with(expected), "{text}: {found:?}");
        }
    }

    #[test]
    fn one_reading_finds_them_all() {
        let text =
            "[pool.p]\nmodel='x'\naccept=1\nidle_timeout='1'\n[master]\nmax_generations=1\n[m]";
        let mut starts: Vec<_> = mistakes(text).into_iter().map(|(at, _)| at).collect();
        starts.sort_unstable();
        assert_eq!(starts, [15, 26, 41, 70, 73]);
    }

    #[test]
    fn every_key_once_with_a_sentence() {
        let mut seen = BTreeSet::new();
        for key in keys() {
            assert!(seen.insert((key.table, key.name)), "{key:?}");
            assert!(
                key.help.ends_with('.') && !key.expected.is_empty(),
                "{key:?}"
            );
            assert_ne!(key.default.is_none(), key.otherwise.is_empty(), "{key:?}");
        }
        assert_eq!(home_of("max_body"), Some("[pool.NAME.http]"));
        assert_eq!(home_of("nothing"), None);
    }
}

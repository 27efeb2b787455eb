//! `preforkd serve`: a pool without a file.

use super::{CONFIG, USAGE, complain};
use crate::cli::{AcceptName, ModelName, Serve, ServiceName};
use crate::config::{
    Accept, App, Config, Exec, Http, LogTarget, Master as MasterConfig, Model, Pool, Service, Size,
    Stream, System, ThisMachine, parse_listen,
};
use crate::master::generation::Services;
use crate::master::{Activation, Master, Source};
use log::LevelFilter;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

/// What cannot be served, and the exit status that says so.
struct Refusal(u8, String);

pub(super) fn run(arguments: &Serve) -> u8 {
    let activation = Activation::take();
    let config = match configuration(arguments) {
        Ok(config) => config,
        Err(Refusal(status, message)) => {
            complain(message);
            return status;
        }
    };
    if let Err(error) = crate::log::start(&config.master.log) {
        complain(format_args!("standard error: {error}"));
    }
    let mut master = match Master::start_with(config, Source::Fixed, Services::new(), activation) {
        Ok(master) => master,
        Err(failure) => {
            complain(&failure.message);
            return failure.status;
        }
    };
    let addresses = master.addresses();
    master.on_serving(Box::new(move || {
        let mut stdout = std::io::stdout();
        // Without a reader we serve all the same.
        let _ = writeln!(stdout, "listening on {addresses}").and_then(|()| stdout.flush());
    }));
    master.run()
}

fn configuration(arguments: &Serve) -> Result<Config, Refusal> {
    let (service, port) = service(arguments)?;
    let model = match arguments.model {
        ModelName::Prefork => Model::Prefork,
        ModelName::Event => Model::Event,
        ModelName::Threads => Model::Threads,
        ModelName::Fork => Model::Fork,
    };
    let accept = match arguments.accept {
        AcceptName::Shared => Accept::Shared,
        AcceptName::Reuseport => Accept::Reuseport,
    };
    let name = service.name();
    let mut pool = Pool::with_defaults(name, service).on_model(model, accept, &ThisMachine);
    if let Some(workers) = arguments.workers.or(arguments.once.then_some(1)) {
        pool.size = Size::Fixed(workers);
    }
    let usual = [format!("127.0.0.1:{port}")];
    let places = if arguments.listen.is_empty() {
        &usual[..]
    } else {
        &arguments.listen[..]
    };
    for place in places {
        let listen = parse_listen(place)
            .map_err(|message| Refusal(USAGE, format!("--listen {place}: {message}")))?;
        if let Some(what) = listen.unfit_for(accept) {
            return Err(Refusal(
                USAGE,
                format!("--listen {place}: {what} cannot be of the kind reuseport"),
            ));
        }
        pool.listen.push(listen.into());
    }
    if let Some(why) = pool.datagram_fault() {
        return Err(Refusal(USAGE, why));
    }
    if pool.is_datagram() && arguments.workers.is_none() && !arguments.once {
        pool = pool.one_a_processor(&ThisMachine);
    }
    let mut master = MasterConfig::with_defaults();
    master.once = arguments.once;
    master.log.level = match arguments.verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    Ok(Config {
        master,
        pools: vec![pool],
    })
}

/// The service, and the port it usually listens on here: the well-known one
/// of the small services, out of the range that needs privileges.
fn service(arguments: &Serve) -> Result<(Service, u16), Refusal> {
    let argument = arguments.argument.as_deref();
    if !matches!(arguments.service, ServiceName::Exec | ServiceName::App)
        && let Some(extra) = arguments.command.first()
    {
        let extra = extra.display();
        return Err(Refusal(
            USAGE,
            format!("what is {extra}? only exec and app run a program"),
        ));
    }
    let none = |service, port| match argument {
        None => Ok((service, port)),
        Some(extra) => Err(Refusal(
            USAGE,
            format!(
                "what is {}? this service takes no argument",
                extra.display()
            ),
        )),
    };
    match arguments.service {
        ServiceName::Http => Ok((Service::Http(files(argument, arguments.verbose > 0)?), 8080)),
        ServiceName::Message => {
            let text =
                argument.ok_or_else(|| Refusal(USAGE, "serve message: which text?".to_owned()))?;
            Ok((Service::Message(text.as_bytes().to_vec()), 7000))
        }
        ServiceName::Exec => Ok((Service::Exec(session(arguments)?), 7001)),
        ServiceName::App => Ok((Service::App(Box::new(program(arguments)?)), 8080)),
        ServiceName::Echo => none(Service::Echo, 7007),
        ServiceName::Discard => none(Service::Discard, 7009),
        ServiceName::Daytime => none(Service::Daytime, 7013),
        ServiceName::Chargen => none(Service::Chargen, 7019),
        ServiceName::Time => none(Service::Time, 7037),
    }
}

/// The words behind `--`, and the directory where we are.
fn command(arguments: &Serve, name: &str) -> Result<(Vec<String>, PathBuf), Refusal> {
    if let Some(extra) = &arguments.argument {
        let message = format!("what is {}? the program follows after --", extra.display());
        return Err(Refusal(USAGE, message));
    }
    let words = arguments.command.iter();
    let words = words.map(|word| word.to_str().map(str::to_owned));
    let words: Option<Vec<String>> = words.collect();
    let words =
        words.ok_or_else(|| Refusal(USAGE, format!("serve {name}: the command is not UTF-8")))?;
    if words.is_empty() {
        let message = format!("serve {name}: which program? serve {name} -- COMMAND ARGUMENTS");
        return Err(Refusal(USAGE, message));
    }
    let here = std::env::current_dir()
        .map_err(|error| Refusal(CONFIG, format!("the current directory: {error}")))?;
    Ok((words, here))
}

/// The program of `serve exec`, found as the table of a file finds it.
fn session(arguments: &Serve) -> Result<Exec, Refusal> {
    let (words, base) = command(arguments, "exec")?;
    Exec::of_command(words, &base, &ThisMachine).map_err(|message| Refusal(CONFIG, message))
}

/// The program of `serve app`, likewise.
fn program(arguments: &Serve) -> Result<App, Refusal> {
    let (words, base) = command(arguments, "app")?;
    if arguments.model != ModelName::Prefork {
        let why = "serve app --model: the program decides how it spends itself";
        return Err(Refusal(USAGE, why.to_owned()));
    }
    if arguments.once {
        let why = "serve app --once: a program tells nobody when its first connection is over";
        return Err(Refusal(USAGE, why.to_owned()));
    }
    let found = App::of_command(words, &base, &ThisMachine);
    let mut app = found.map_err(|message| Refusal(CONFIG, message))?;
    if arguments.verbose == 0 {
        // The log has warnings alone, and why a program does not start is what it
        // says itself.
        app.stdout = Stream::Inherit;
        app.stderr = Stream::Inherit;
    }
    Ok(app)
}

fn files(directory: Option<&OsStr>, logged: bool) -> Result<Http, Refusal> {
    let directory =
        directory.ok_or_else(|| Refusal(USAGE, "serve http: which directory?".to_owned()))?;
    let path = Path::new(directory);
    if !ThisMachine.is_directory(path).unwrap_or(false) {
        return Err(Refusal(
            CONFIG,
            format!("{}: not a directory that can be read", path.display()),
        ));
    }
    let path = std::path::absolute(path)
        .map_err(|error| Refusal(CONFIG, format!("{}: {error}", path.display())))?;
    let mut http = Http::with_defaults(path);
    if logged {
        http.access_log = LogTarget::Stderr;
    }
    Ok(http)
}

//! From the command line to what is to be done.

use super::super::reach;
use super::plain;
use super::timing::Form;
use crate::cli::get::Get;
use crate::client::http::request::{self, Content, Field, Method};
use crate::client::http::url::Mistake;
use crate::client::http::{Request, Url};
use crate::client::{Cause, Failure, Options};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is to be done.
pub(super) struct Plan {
    pub(super) url: Url,
    pub(super) request: Request,
    /// The socket in place of the host.
    pub(super) unix: Option<PathBuf>,
    pub(super) options: Options,
    /// How long all of it may take.
    pub(super) most: Option<Duration>,
    pub(super) idle: Option<Duration>,
    /// How many redirects are followed; `None`: they are answers as others.
    pub(super) redirects: Option<u32>,
    /// The file in place of standard output.
    pub(super) file: Option<PathBuf>,
    pub(super) resumes: bool,
    pub(super) include: bool,
    pub(super) verbose: bool,
    pub(super) fail: bool,
    pub(super) timing: Option<Form>,
    pub(super) repeat: Option<u32>,
}

impl Plan {
    /// Reads what the request is made of; asks nobody yet.
    pub(super) fn of(arguments: &Get) -> Result<Self, Failure> {
        let url = Url::parse(&arguments.url).map_err(address)?;
        let file = file(arguments, &url)?;
        if arguments.resume && file.is_none() {
            return Err(usage("--continue wants a file: -o FILE or -O"));
        }
        Ok(Self {
            request: request(arguments, &url)?,
            url,
            unix: arguments.unix.clone(),
            options: reach::options(&arguments.reach)?,
            most: arguments.max_time,
            idle: arguments.idle,
            redirects: arguments.location.then_some(arguments.max_redirects),
            file,
            resumes: arguments.resume,
            include: arguments.include || arguments.head,
            verbose: arguments.verbose,
            fail: arguments.fail,
            timing: match (arguments.json, arguments.timing) {
                (true, _) => Some(Form::Json),
                (false, true) => Some(Form::Text),
                (false, false) => None,
            },
            repeat: arguments.repeat,
        })
    }
}

/// What is wrong with an address of the command line.
fn address(mistake: Mistake) -> Failure {
    let cause = match mistake {
        Mistake::Tls(_) | Mistake::Scheme(_) => Cause::Scheme,
        Mistake::Control(_) | Mistake::Host(_) | Mistake::Port(_) | Mistake::Credentials => {
            Cause::Usage
        }
    };
    Failure::new(cause, mistake.to_string())
}

fn file(arguments: &Get, url: &Url) -> Result<Option<PathBuf>, Failure> {
    match &arguments.output {
        Some(path) if path == Path::new("-") => Ok(None),
        Some(path) => Ok(Some(path.clone())),
        None if arguments.remote_name => match url.file_name() {
            Some(name) => Ok(Some(PathBuf::from(name))),
            None => Err(usage(format!("{url} ends in no name: say -o FILE"))),
        },
        None => Ok(None),
    }
}

fn request(arguments: &Get, url: &Url) -> Result<Request, Failure> {
    let content = arguments.post.as_deref().map(content).transpose()?;
    let method = match &arguments.method {
        Some(name) => {
            Method::parse(name).map_err(|why| usage(format!("--method {}: {why}", plain(name))))?
        }
        None if arguments.head => Method::head(),
        None if content.is_some() => Method::post(),
        None => Method::get(),
    };
    let field = |text: &String| {
        Field::parse(text).map_err(|why| usage(format!("--header {}: {why}", plain(text))))
    };
    let range = |text: &str| {
        request::range(text).map_err(|why| usage(format!("--range {}: {why}", plain(text))))
    };
    Ok(Request {
        method,
        fields: arguments
            .headers
            .iter()
            .map(field)
            .collect::<Result<_, _>>()?,
        range: arguments.range.as_deref().map(range).transpose()?,
        compressed: arguments.compressed,
        credentials: url.credentials().map(str::to_owned),
        content,
    })
}

/// What `--post` names.
fn content(text: &str) -> Result<Content, Failure> {
    let read = |octets: io::Result<Vec<u8>>, name: &str| {
        octets.map_err(|error| super::output::refused("read", name, &error))
    };
    let octets = match text.strip_prefix('@') {
        Some(name) => read(std::fs::read(name), name)?,
        None if text == "-" => {
            let mut octets = Vec::new();
            let result = io::stdin().lock().read_to_end(&mut octets);
            read(result.map(|_| octets), "standard input")?
        }
        // As a form sends it.
        None => {
            return Ok(Content {
                octets: text.as_bytes().to_vec(),
                kind: "application/x-www-form-urlencoded",
            });
        }
    };
    Ok(Content {
        octets,
        kind: "application/octet-stream",
    })
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::new(Cause::Usage, what)
}

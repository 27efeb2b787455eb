//! The table of the service app, written back.

use crate::config::app::App;
use crate::config::file::app::AppTable;
use crate::config::table::Entry;

pub(super) fn app(app: &App) -> AppTable {
    let names = (!app.fd_names.is_empty()).then(|| app.fd_names.clone());
    AppTable {
        command: Entry::of(Some(app.command.clone())),
        directory: Entry::of(Some(app.directory.clone())),
        environment: Entry::of(app.environment.clone()),
        pass: Entry::of(app.pass.clone()),
        fd_names: Entry::of(names),
        umask: Entry::of(app.umask),
        nice: Entry::of(app.nice),
        memory: Entry::of(app.memory),
        processor_time: Entry::of(app.processor_time),
        open_files: Entry::of(app.open_files),
        ready: Entry::of(app.ready),
        stop_signal: Entry::of(app.stop_signal),
        reopen_signal: Entry::of(app.reopen_signal),
        when_orphaned: Entry::of(app.when_orphaned),
        stdout: Entry::of(app.stdout),
        stderr: Entry::of(app.stderr),
    }
}

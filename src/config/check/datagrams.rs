//! Pools that listen for datagrams: what goes with them.

use super::Checker;
use crate::config::defaults::{self, Spares};
use crate::config::file::{PoolTable, Workers};
use crate::config::mistake::Span;
use crate::config::{Service, Size, datagram};

impl Checker<'_> {
    /// Says what does not go with datagrams; answers how many workers there are.
    pub(super) fn datagrams(
        &mut self,
        table: &PoolTable,
        service: Option<&Service>,
        header: &Span,
    ) -> Size {
        if let Some(why) = service.and_then(datagram::not_served) {
            let at = match service {
                Some(Service::Message(_)) => table.message.span(header),
                Some(_) | None => table.service.span(header),
            };
            let expected = "expected \"echo\", \"discard\", \"daytime\", \"time\", \"chargen\" or a \"message\" that fits";
            self.error(&at, why, expected);
        }
        let model = table.model.value;
        if let Some(why) = datagram::not_on(model) {
            let at = table.model.span(header);
            self.error(
                &at,
                why,
                "expected \"prefork\" or \"event\", which are the same here",
            );
        }
        for (entry, name) in [
            (&table.start_workers, "start_workers"),
            (&table.min_spare_workers, "min_spare_workers"),
            (&table.max_spare_workers, "max_spare_workers"),
            (&table.max_workers, "max_workers"),
        ] {
            self.misplaced(entry, name, "datagrams keep no worker busy; use `workers`");
        }
        self.meaningless(table, datagram::MEANINGLESS, "on datagrams");
        let why = "a datagram is no connection";
        self.misplaced(&table.max_connections, "max_connections", why);
        if !table.defer_accept.value.is_zero() {
            let at = table.defer_accept.span(header);
            self.error(
                &at,
                "`defer_accept` has no effect on datagrams",
                "remove it",
            );
        }
        let (at, given) = (&table.connections_per_worker, "`connections_per_worker`");
        if at.value > 0 {
            let at = at.span(header);
            let message = format!("{given} has no effect on datagrams");
            self.error(&at, message, "use `requests_per_worker`, which counts them");
        }
        let workers = table.workers.value.unwrap_or(Workers::Auto);
        let processors = self.system.processors();
        let accept = table.accept.value;
        defaults::size(model, accept, Some(workers), &Spares::default(), processors)
    }
}

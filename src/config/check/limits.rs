//! What the keys of a pool's limits must have to do with each other.

use super::Checker;
use crate::config::file::{PoolTable, ServiceName};
use crate::config::{Full, Refusal};

impl Checker<'_> {
    pub(super) fn limits(&mut self, table: &PoolTable) {
        let Some(limits) = &table.limits.value else {
            return;
        };
        if limits.accept_rate.value.is_none() && limits.accept_rate.is_sound() {
            self.misplaced(&limits.burst, "burst", "only beside `accept_rate`");
        }
        if !table.service.is_sound() {
            return;
        }
        let is_http = table.service.value == Some(ServiceName::Http);
        let sound = limits.over.is_sound() && limits.full.is_sound();
        let answers = limits.over.value == Refusal::Answer
            || limits.full.value == Full::Refuse(Refusal::Answer);
        if is_http {
            let why = "the service http answers 503";
            self.misplaced(&limits.banner, "banner", why);
        } else {
            let why = "only with service = \"http\"";
            self.misplaced(&limits.retry_after, "retry_after", why);
        }
        if sound && !answers {
            let why = "only with `over` or `full` = \"answer\"";
            if is_http {
                self.misplaced(&limits.retry_after, "retry_after", why);
            } else {
                self.misplaced(&limits.banner, "banner", why);
            }
        }
    }
}

//! How a client command gets to its target: from the command line to options.

use crate::cli::client::Reach;
use crate::client::{Failure, Family, Options, target};

/// The options that the command line gives.
///
/// # Errors
/// Where the source is no address.
pub(super) fn options(reach: &Reach) -> Result<Options, Failure> {
    Ok(Options {
        family: match (reach.ipv4, reach.ipv6) {
            (true, _) => Family::V4,
            (false, true) => Family::V6,
            (false, false) => Family::Any,
        },
        source: reach.source.as_deref().map(target::source).transpose()?,
        timeout: reach.timeout,
    })
}

//! `accept` of a route: by what somebody may show who they are.

use super::{report::Report, values::Spot};
use crate::gate::{Accept, Auth, Source};

/// What a route accepts; tokens alone where it does not say.
pub(super) fn settle(written: Option<&[Spot<Source>]>, auth: Auth, report: &mut Report) -> Accept {
    let Some(written) = written else {
        return Accept::default();
    };
    if let (Auth::None, Some(first)) = (auth, written.first()) {
        report
            .error(
                "accept-without-auth",
                first.span.clone(),
                "`accept` has no meaning where nobody is asked who they are",
            )
            .hint("write `auth = \"required\"` or `\"optional\"`, or take `accept` out");
    }
    let sources: Vec<Source> = written.iter().map(|source| source.value).collect();
    Accept::of(&sources)
}

//! An explanation as text, for the command line.

use std::fmt;

use super::{
    error_pages::Shown,
    explain::{Explanation, Gate, Said},
};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {}://{}{}",
            self.method, self.scheme, self.host, self.target
        )?;
        write_path(f, self)?;
        for passed in &self.passed_over {
            writeln!(
                f,
                "  not       {}  ({}): {}",
                passed.route, passed.place, passed.why
            )?;
        }
        if let Some(won) = &self.route {
            writeln!(
                f,
                "  route     {}  ({}), squad {}{}",
                won.route,
                won.place,
                won.squad,
                Params(&won.params)
            )?;
        }
        if let Some(signed) = &self.signed {
            writeln!(f, "  signed    {signed}")?;
        }
        if let Some(gate) = &self.gate {
            write_gate(f, gate, self.asks.as_deref())?;
        }
        for said in &self.flags {
            write_flag(f, said)?;
        }
        write_visitor(f, self)?;
        write_before(f, self)?;
        write_goes(f, self)?;
        if let Some(path) = &self.forwarded {
            writeln!(f, "  forwards  {path}")?;
        }
        for (name, value) in &self.headers {
            writeln!(f, "  adds      {name}: {value}")?;
        }
        write_answer(f, self)?;
        if let Some(answered) = &self.answered {
            writeln!(f, "  answered  {}: {}", answered.status, answered.why)?;
        }
        if let Some(redirect) = &self.redirect {
            let (status, location) = (redirect.status, &redirect.location);
            writeln!(f, "  redirects {status} to {location}: {}", redirect.why)?;
        }
        if let Some(refused) = &self.refused {
            writeln!(f, "  refused   {}: {}", refused.status, refused.why)?;
        }
        for shown in &self.error_pages {
            write_error_page(f, shown)?;
        }
        Ok(())
    }
}

/// What stands before the backend.
fn write_before(f: &mut fmt::Formatter<'_>, told: &Explanation) -> fmt::Result {
    if let Some(room) = &told.room {
        writeln!(f, "  room      {room}")?;
    }
    told.drills
        .iter()
        .try_for_each(|drill| writeln!(f, "  DRILL     {drill}"))
}

fn write_answer(f: &mut fmt::Formatter<'_>, told: &Explanation) -> fmt::Result {
    for (part, what) in &told.forwards {
        writeln!(f, "  forwards  {part} {what}")?;
    }
    for line in &told.answers {
        writeln!(f, "  answer    {line}")?;
    }
    for line in &told.cache {
        writeln!(f, "  cache     {line}")?;
    }
    match &told.compress {
        Some(told) => writeln!(f, "  compress  {told}"),
        None => Ok(()),
    }
}

fn write_path(f: &mut fmt::Formatter<'_>, told: &Explanation) -> fmt::Result {
    let Some(path) = told
        .path
        .as_ref()
        .filter(|path| !told.target.starts_with(path.as_str()))
    else {
        return Ok(());
    };
    let forwarded = if told.forwarded.is_none() {
        " and forwarded"
    } else {
        ""
    };
    writeln!(f, "  path      judged{forwarded} as {path}")
}

fn write_goes(f: &mut fmt::Formatter<'_>, explanation: &Explanation) -> fmt::Result {
    if let Some(goes) = &explanation.backend {
        writeln!(f, "  backend   {goes}")?;
    }
    for line in &explanation.versions {
        writeln!(f, "  version   {line}")?;
    }
    if let Some(standby) = &explanation.failover {
        writeln!(f, "  failover  {standby}")?;
    }
    for bound in &explanation.bounds {
        writeln!(f, "  bound     {bound}")?;
    }
    Ok(())
}

fn write_visitor(f: &mut fmt::Formatter<'_>, told: &Explanation) -> fmt::Result {
    if let Some(cookie) = told.visitor.as_ref().filter(|cookie| cookie.set) {
        writeln!(f, "  visitor   cookie is {}; the answer sets one", cookie.state)?;
    }
    for line in &told.carried {
        writeln!(f, "  carries   {line}")?;
    }
    Ok(())
}

fn write_gate(f: &mut fmt::Formatter<'_>, gate: &Gate, asks: Option<&str>) -> fmt::Result {
    let roles = if gate.roles.is_empty() {
        String::new()
    } else {
        format!(", any of {}", gate.roles.join(", "))
    };
    let user = gate
        .user
        .as_ref()
        .map(|user| format!(" as {user}"))
        .unwrap_or_default();
    let at = gate
        .decided_at
        .as_ref()
        .filter(|_| gate.verdict != "passes")
        .map(|place| format!("  ({place})"))
        .unwrap_or_default();
    writeln!(
        f,
        "  gate      auth {}{roles}: {}{user}{at}",
        gate.auth, gate.verdict
    )?;
    for asked in &gate.asks {
        writeln!(f, "              asks {asked}")?;
    }
    match asks {
        Some(asks) => writeln!(f, "  lookup    not here, but live: {asks}"),
        None => Ok(()),
    }
}

fn write_error_page(f: &mut fmt::Formatter<'_>, shown: &Shown) -> fmt::Result {
    let statuses: Vec<String> = shown.status.iter().map(ToString::to_string).collect();
    let answered = shown
        .answer_status
        .map(|status| format!(", answered with {status}"))
        .unwrap_or_default();
    writeln!(
        f,
        "  errors    {}: browsers see {}{answered}  ({})",
        statuses.join(", "),
        shown.shows,
        shown.place
    )
}

fn write_flag(f: &mut fmt::Formatter<'_>, said: &Said) -> fmt::Result {
    let variant = said.variant.as_deref().unwrap_or("no variant");
    let bucket = said
        .bucket_percent
        .as_ref()
        .map(|at| format!(", place {at} %"))
        .unwrap_or_default();
    let picks = if said.picks_backend {
        ""
    } else {
        " (told to the backend only)"
    };
    writeln!(
        f,
        "  flag      {}  ({}), {}: {variant}, {}{bucket}{picks}",
        said.flag, said.place, said.state, said.reason
    )?;
    for (flag, outcome) in &said.requires {
        writeln!(f, "              requires `{flag}`, which {outcome}")?;
    }
    if let Some(layer) = &said.layer {
        writeln!(f, "              {layer}")?;
    }
    if let Some(shares) = &said.shares {
        writeln!(f, "              by its schedule now {shares}")?;
    }
    for (rule, outcome) in &said.rules {
        writeln!(f, "              rule `{rule}` {outcome}")?;
    }
    Ok(())
}

struct Params<'a>(&'a [(String, String)]);

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
            f.write_str(if at == 0 { ", with " } else { ", " })?;
            write!(f, "{name} = {value}")?;
        }
        Ok(())
    }
}

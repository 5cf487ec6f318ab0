//! Banyan's own files: tables of routes, flags, and the certificate that all peers share.

use std::{fmt::Write as _, fs, io, path::Path};

use super::{browser::HOST, fleet::Surroundings};

/// How large a site is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) routes: usize,
    pub(super) flags: usize,
}

/// The site that is compared with peers.
pub(super) const COMPARED: Size = Size {
    routes: 200,
    flags: 1,
};

/// Makes the certificate: ECDSA on P-256, for [`HOST`], as all peers use it.
pub(super) fn certify(around: &Surroundings) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).map_err(io::Error::other)?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(around.certificate(), &certificate)?;
    fs::write(around.key(), &key)?;
    fs::write(around.pair(), certificate + &key)
}

/// Writes a whole site into an empty folder.
pub(super) fn write(folder: &Path, operator: &str, around: &Surroundings, size: Size) -> io::Result<()> {
    for name in ["routes", "flags", "certs"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::copy(around.pair(), folder.join("certs/default.pem"))?;
    fs::write(folder.join("banyan.toml"), operator)?;
    vary(folder, around, size, 30)
}

/// Writes routes and flags as they are at turn `turn`: each flag's share and one backend's timeout follow it.
pub(super) fn vary(folder: &Path, around: &Surroundings, size: Size, turn: usize) -> io::Result<()> {
    let share = format!("new = {}.0", 10 + turn % 80);
    for flag in 0..size.flags {
        let text = include_str!("configs/flag.toml").replace("new = 30.0", &share);
        replace(
            &folder.join("flags").join(format!("{}.toml", flag_name(flag))),
            &text,
        )?;
    }
    replace(&folder.join("routes/all.toml"), &routes(around, size, turn))
}

/// As editors save: a new file takes the old one's name.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}

fn flag_name(at: usize) -> String {
    if at == 0 {
        "moving".to_owned()
    } else {
        format!("moving-{at:03}")
    }
}

/// A third exact, a third with a `{slug}`, a third with a last `/*`; the first routes have the flags.
fn routes(around: &Surroundings, size: Size, turn: usize) -> String {
    let mut text = "squad = \"all\"\n".to_owned();
    for name in ["legacy", "new"] {
        let _ = write!(
            text,
            "[backends.{name}]\nservers = [\"http://{}\"]\nidle_max = 1024\nfirst_byte_timeout = \"{}ms\"\n",
            around.backend,
            30_000 + turn
        );
    }
    text.push_str("[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n");
    text.push_str("[[routes]]\npath = \"/kept/{slug}\"\nbackend = \"legacy\"\ncache = \"standard\"\n");
    for flag in 0..size.flags {
        let name = flag_name(flag);
        let _ = write!(
            text,
            "[[routes]]\npath = \"/{name}/{{slug}}\"\nflag = \"{name}\"\nbackends = {{ legacy = \"legacy\", new = \"new\" }}\n"
        );
    }
    for at in 0..size.routes.saturating_sub(size.flags + 2) {
        let section = at / 50;
        let path = match at % 3 {
            0 => format!("/section-{section:03}/page-{at:05}"),
            1 => format!("/section-{section:03}/item-{at:05}/{{slug}}"),
            _ => format!("/section-{section:03}/tree-{at:05}/*"),
        };
        let _ = write!(text, "[[routes]]\npath = \"{path}\"\nbackend = \"new\"\n");
    }
    text
}

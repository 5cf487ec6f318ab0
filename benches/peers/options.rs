//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Compares Banyan with other reverse proxies on this machine's loopback.
#[derive(Debug, Clone, Parser)]
#[command(name = "peers")]
pub(super) struct Options {
    /// Works, with commas between them: h1, h2, plain, down-h1, down-h2, up-h1, up-h2, full, resumed, idle-h1, idle-h2,
    /// latency, cores, reload. All by itself.
    #[arg(long, value_delimiter = ',')]
    pub(super) works: Vec<String>,
    /// Programs, with commas between them. All by itself; banyan is always among them.
    #[arg(long, value_delimiter = ',')]
    pub(super) peers: Vec<String>,
    /// Rounds of each work.
    #[arg(long, default_value_t = 5)]
    pub(super) rounds: usize,
    /// Seconds that each round measures.
    #[arg(long, default_value_t = 2.0)]
    pub(super) seconds: f64,
    /// A first look: three rounds of 0.7 s, 1,000 idle connections, 50 swaps.
    #[arg(long)]
    pub(super) quick: bool,
    /// Requests a second of the latency and reload works.
    #[arg(long, default_value_t = 4000)]
    pub(super) rate: u32,
    /// Idle connections.
    #[arg(long, default_value_t = 5000)]
    pub(super) idle: usize,
    /// Swaps of the whole configuration whose memory is looked at.
    #[arg(long, default_value_t = 300)]
    pub(super) swaps: usize,
    /// Where everything measured goes, as JSON.
    #[arg(long)]
    pub(super) json: Option<PathBuf>,
    /// Where the tables go, as Markdown.
    #[arg(long)]
    pub(super) markdown: Option<PathBuf>,
    /// Where `benches/peers/install` puts what it builds.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers"))]
    pub(super) cache: PathBuf,
    /// Banyan's program.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/release/banyan"))]
    pub(super) banyan: PathBuf,
}

impl Options {
    /// Reads the command line; `cargo bench` adds a word of its own.
    pub(super) fn read() -> Self {
        let mut options = Self::parse_from(std::env::args().filter(|word| word != "--bench"));
        if options.quick {
            (options.rounds, options.seconds, options.idle, options.swaps) = (3, 0.7, 1000, 50);
        }
        options
    }

    /// Whether this work is wanted.
    pub(super) fn wants(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|wanted| wanted == work)
    }
}

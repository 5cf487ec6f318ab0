//! Runs `tests/tables/http2/*.toml`: malformed and ambiguous requests, and how each is refused.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use tokio::task::LocalSet;

use super::testing::{GET, RawClient, frame, header_block, recite, service, start};
use crate::limits::Limits;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// One message from a client, and what it must come to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The whole head; by default that of a plain GET.
    head: Option<Vec<(String, String)>>,
    /// Fields behind the head.
    #[serde(default)]
    fields: Vec<(String, String)>,
    /// DATA frames.
    #[serde(default)]
    data: Vec<String>,
    /// Trailers behind them.
    trailers: Option<Vec<(String, String)>>,
    /// Whole frames instead, each "kind flags stream payload" in hexadecimal; `head` in a payload is the plain GET's block,
    /// `*N` fills it up to N bytes.
    frames: Option<Vec<String>>,
    /// This many fields more, each of this many bytes.
    #[serde(default)]
    padding: (usize, usize),
    /// Not byte by byte: the answer would be faster than the last frame.
    #[serde(default)]
    whole: bool,
    expect: String,
}

fn pairs(fields: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        if let Some(frames) = &self.frames {
            return frames.iter().flat_map(|line| raw_frame(line)).collect();
        }
        let plain: Vec<_> = GET
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let filler = "x".repeat(self.padding.1);
        let padding = (0..self.padding.0).map(|number| (format!("filler-{number}"), filler.clone()));
        let mut fields = self.head.clone().unwrap_or(plain);
        fields.extend(self.fields.clone());
        fields.extend(padding);
        let block = header_block(pairs(&fields));
        let end = self.data.is_empty() && self.trailers.is_none();
        let mut chunks = block.chunks(16 * 1024).peekable();
        let mut bytes = Vec::new();
        let mut kind = 1;
        while let Some(chunk) = chunks.next() {
            let last = if chunks.peek().is_none() { 4 } else { 0 };
            let flags = last | u8::from(end && kind == 1);
            bytes.extend(frame(kind, flags, 1, chunk));
            kind = 9;
        }
        for (number, data) in self.data.iter().enumerate() {
            let last = number + 1 == self.data.len() && self.trailers.is_none();
            bytes.extend(frame(0, u8::from(last), 1, data.as_bytes()));
        }
        if let Some(trailers) = &self.trailers {
            bytes.extend(frame(1, 5, 1, &header_block(pairs(trailers))));
        }
        bytes
    }
}

fn raw_frame(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |word: &str| u32::from_str_radix(word, 16).unwrap();
    let mut payload = Vec::new();
    for word in &words[3..] {
        match *word {
            "head" => payload.extend(header_block(GET)),
            zeros if zeros.starts_with('*') => payload.resize(zeros[1..].parse().unwrap(), 0),
            hex => payload.extend(
                hex.as_bytes()
                    .chunks(2)
                    .map(|pair| number(std::str::from_utf8(pair).unwrap()) as u8),
            ),
        }
    }
    frame(
        number(words[0]) as u8,
        number(words[1]) as u8,
        number(words[2]),
        &payload,
    )
}

/// The whole table, each case twice: in one piece, and byte by byte.
#[tokio::test(start_paused = true)]
async fn malformed_and_ambiguous_requests_come_to_what_the_table_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/http2");
    let mut cases = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        cases.extend(toml::from_str::<Table>(&text).unwrap().case);
    }
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let steps: &[usize] = if case.whole {
            &[usize::MAX]
        } else {
            &[usize::MAX, 1]
        };
        for &step in steps {
            let outcome = LocalSet::new().run_until(outcome(case, step)).await;
            if outcome != case.expect {
                wrong.push(format!(
                    "{} (step {step}): {outcome}, not {}",
                    case.name, case.expect
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Crumbs with other fields between them are copied together again and again.
#[tokio::test(start_paused = true)]
async fn a_cookie_in_many_places_costs_its_room_each_time() {
    let (crumb, others) = ("c".repeat(2000), r#"["a", "b"], ["cookie", "c"], "#.repeat(45));
    let text = format!(
        "[[case]]\nname = \"crumbs\"\nfields = [[\"cookie\", \"{crumb}\"], {others}]\nexpect = \"status 431\"\n"
    );
    let table: Table = toml::from_str(&text).unwrap();
    let case = table.case.first().unwrap();
    let outcome = LocalSet::new().run_until(outcome(case, usize::MAX)).await;
    assert_eq!(outcome, case.expect);
}

async fn outcome(case: &Case, step: usize) -> String {
    let (io, _phase, _task) = start(service(recite), Limits::default());
    let mut client = RawClient::greet(io).await;
    let bytes = case.bytes();
    for piece in bytes.chunks(step.min(bytes.len()).max(1)) {
        if !client.send(piece).await {
            break;
        }
        if step == 1 {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::timeout(Duration::from_secs(5), client.outcome(1))
        .await
        .unwrap_or_else(|_| "nothing".to_owned())
}

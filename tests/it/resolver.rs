//! A DNS server in this process: answers that a test changes, delays, or withholds.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::UdpSocket, task::AbortHandle};

/// What a name is answered with.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    /// A and AAAA.
    pub addresses: Vec<IpAddr>,
    /// SRV: priority, weight, port, target.
    pub services: Vec<(u16, u16, u16, String)>,
    /// Seconds.
    pub ttl: u32,
}

/// How questions are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Answered.
    Well,
    /// Never answered.
    Dead,
    /// Answered with SERVFAIL.
    Broken,
    /// Answered after so long.
    Late(Duration),
}

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State {
    zones: Mutex<BTreeMap<String, Zone>>,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

impl Dns {
    /// A server that knows no name.
    pub async fn new() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let state = Arc::new(State {
            zones: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            asked: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut packet = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let Some(answer) = serving.answer(&packet[..length]) else {
                    continue;
                };
                let (socket, mood) = (Arc::clone(&socket), *serving.mood.lock().unwrap());
                tokio::spawn(async move {
                    if let Mood::Late(pause) = mood {
                        tokio::time::sleep(pause).await;
                    }
                    let _ = socket.send_to(&answer, from).await;
                });
            }
        });
        Self {
            address,
            state,
            task: task.abort_handle(),
        }
    }

    /// `[dns]` that asks here, and looks again soon.
    pub fn settings(&self) -> String {
        let address = self.address;
        format!("[dns]\nservers = [\"{address}\"]\nttl_min = \"100ms\"\ntimeout = \"400ms\"\n")
    }

    /// Changes what `name` is answered with.
    pub fn set(&self, name: &str, zone: Zone) {
        self.state.zones.lock().unwrap().insert(name.to_owned(), zone);
    }

    /// Addresses for `name`, good for no time at all.
    pub fn point(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        self.set(
            name,
            Zone {
                addresses,
                ..Zone::default()
            },
        );
    }

    /// Changes how questions are treated.
    pub fn be(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// Questions so far.
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        if mood == Mood::Dead {
            return None;
        }
        let (mut name, mut at) = (String::new(), 12);
        while question[at] != 0 {
            let length = usize::from(question[at]);
            name.push_str(std::str::from_utf8(&question[at + 1..=at + length]).unwrap());
            name.push('.');
            at += length + 1;
        }
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let zones = self.zones.lock().unwrap();
        let zone = zones.get(&name.trim_end_matches('.').to_ascii_lowercase());
        let code = match (mood, zone) {
            (Mood::Broken, _) => 2,
            (_, None) => 3,
            (_, Some(_)) => 0,
        };
        let records = zone
            .filter(|_| code == 0)
            .map_or_else(Vec::new, |zone| zone.records(kind));
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1]);
        answer.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(&question[12..at + 5]);
        records.iter().for_each(|record| answer.extend(record));
        Some(answer)
    }
}

impl Zone {
    fn records(&self, kind: u16) -> Vec<Vec<u8>> {
        let data: Vec<Vec<u8>> = match kind {
            1 | 28 => {
                let of_kind = self.addresses.iter().filter(|ip| ip.is_ipv4() == (kind == 1));
                of_kind
                    .map(|ip| match ip {
                        IpAddr::V4(four) => four.octets().to_vec(),
                        IpAddr::V6(six) => six.octets().to_vec(),
                    })
                    .collect()
            }
            33 => self.services.iter().map(service).collect(),
            _ => Vec::new(),
        };
        data.into_iter()
            .map(|data| {
                let mut record = vec![0xc0, 12]; // the name that was asked for
                record.extend(kind.to_be_bytes());
                record.extend([0, 1]);
                record.extend(self.ttl.to_be_bytes());
                record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
                record.extend(data);
                record
            })
            .collect()
    }
}

fn service((priority, weight, port, target): &(u16, u16, u16, String)) -> Vec<u8> {
    let mut data: Vec<u8> = [priority, weight, port]
        .iter()
        .flat_map(|part| part.to_be_bytes())
        .collect();
    for label in target.split('.') {
        data.push(u8::try_from(label.len()).unwrap());
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

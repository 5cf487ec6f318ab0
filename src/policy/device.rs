//! What kind of device a viewer uses, as far as its `User-Agent` tells: a few words looked for, nothing guessed beyond them.

/// What a `User-Agent` says of its device. More than one may be true of `android`, `ios` and the others; of the four kinds
/// (desktop, mobile, tablet, television) exactly one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its kind.
    pub kind: Kind,
    /// Android, by its name; Windows phones bear it too and don't count.
    pub android: bool,
    /// An iPhone, iPad or iPod. An iPad that asks for desktop pages says it is a Mac, and counts as one.
    pub ios: bool,
}

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is none of the others: computers, programs, and who says nothing.
    Desktop,
    /// A phone.
    Mobile,
    /// A tablet or an e-book reader.
    Tablet,
    /// A television, or a box at one.
    SmartTv,
}

/// Words of televisions and of boxes beside them. Letters count as they are.
const TELEVISIONS: [&str; 14] = [
    "SmartTV",
    "SMART-TV",
    "Smart-TV",
    "GoogleTV",
    "Google TV",
    "Android TV",
    "AppleTV",
    "Apple TV",
    "HbbTV",
    "BRAVIA",
    "Roku",
    "CrKey",
    "NetCast",
    "AFT", // Fire TV: AFTB, AFTMM, …
];

/// Words of tablets, beside Android without `Mobile`.
const TABLETS: [&str; 5] = ["iPad", "Tablet", "Kindle", "PlayBook", "Silk/"];

/// Words of phones. Firefox and Opera say `Mobi` alone.
const PHONES: [&str; 6] = [
    "Mobi",
    "iPhone",
    "iPod",
    "Windows Phone",
    "BlackBerry",
    "Opera Mini",
];

impl Device {
    /// Reads a `User-Agent`. Bytes that are no ASCII match no word.
    #[must_use]
    pub fn of(user_agent: &[u8]) -> Self {
        let says = |word: &str| memchr::memmem::find(user_agent, word.as_bytes()).is_some();
        let any = |words: &[&str]| words.iter().any(|word| says(word));
        let android = says("Android") && !says("Windows Phone");
        let kind = if any(&TELEVISIONS) {
            Kind::SmartTv
        } else if any(&TABLETS) || (android && !says("Mobi")) {
            Kind::Tablet
        } else if any(&PHONES) {
            Kind::Mobile
        } else {
            Kind::Desktop
        };
        Self {
            kind,
            android,
            ios: any(&["iPhone", "iPad", "iPod"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Device, Kind};

    /// What a `User-Agent` says, and the words that follow its kind: `android`, `ios`, `-` for neither.
    const KNOWN: &str = "
desktop - curl/8.5.0
desktop - Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36
desktop - Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15
desktop - Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
mobile ios Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1
mobile android Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36
mobile android Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0
mobile - Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) Mobile Safari/537.36 Edge/15
tablet ios Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1
tablet android Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 Chrome/131.0 Safari/537.36
tablet - Mozilla/5.0 (X11; U; Linux armv7l; en-us) Kindle/3.0
tv - Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 Version/7.0 TV Safari/537.36
tv android Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7633) AppleWebKit/537.36 Mobile Safari/537.36
tv - Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/94.0 Safari/537.36
";

    #[test]
    fn each_kind_of_device_is_known_by_its_words() {
        for line in KNOWN.trim().lines() {
            let mut parts = line.splitn(3, ' ');
            let mut next = || parts.next().unwrap();
            let (kind, system, user_agent) = (next(), next(), next());
            let expected = Device {
                kind: match kind {
                    "desktop" => Kind::Desktop,
                    "mobile" => Kind::Mobile,
                    "tablet" => Kind::Tablet,
                    _ => Kind::SmartTv,
                },
                android: system == "android",
                ios: system == "ios",
            };
            assert_eq!(Device::of(user_agent.as_bytes()), expected, "{user_agent}");
        }
        assert_eq!(Device::of(b"").kind, Kind::Desktop, "who says nothing");
    }
}

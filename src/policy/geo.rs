//! Where a visitor is, as far as a local database tells, and which countries a route is for.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use maxminddb::{PathElement, Reader, WithinOptions};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// Longest database that is read, in bytes. The largest that is sold takes less than half.
pub const DATABASE_BYTES_MAX: u64 = 1 << 30;

/// Networks that are looked at when a database is opened, to see that it is of the right kind.
const SAMPLE_NETWORKS: usize = 256;

/// A database of places in MaxMind's format (`.mmdb`), in memory.
pub struct Database(Reader<Arc<[u8]>>);

/// Why bytes are no database that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDatabase {
    /// They are not in MaxMind's format, or cut off.
    #[error("it is not a MaxMind database: {0}")]
    Format(String),
    /// It tells other things than places: none of the first networks has a country or a network number.
    #[error("it is a `{0}`, which tells neither countries nor network numbers")]
    Kind(String),
}

impl Database {
    /// Opens a database, and looks at its first networks: it must tell a country (`country.iso_code`, as MaxMind's City, Country
    /// and Enterprise do) or a network number (`autonomous_system_number`) for one of them.
    ///
    /// # Errors
    /// [`BadDatabase`].
    pub fn open(bytes: Arc<[u8]>) -> Result<Self, BadDatabase> {
        let format = |error: maxminddb::MaxMindDbError| BadDatabase::Format(error.to_string());
        let reader = Reader::from_source(bytes).map_err(format)?;
        let kind = reader.metadata().database_type.clone();
        let networks = reader
            .networks(WithinOptions::default().skip_empty_values())
            .map_err(format)?;
        let mut known = false;
        for network in networks.take(SAMPLE_NETWORKS) {
            let place = network.map_err(format)?.decode::<Written<'_>>();
            let place = place.map_err(|_| BadDatabase::Kind(kind.clone()))?.map(Place);
            known |= place.is_some_and(|place| place.country().is_some() || place.asn().is_some());
        }
        if known {
            Ok(Self(reader))
        } else {
            Err(BadDatabase::Kind(kind))
        }
    }

    /// What is known of an address. Nothing is known of those that belong to nobody in particular (RFC 6890), whatever the database
    /// says.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Option<Place<'_>> {
        let found = self.0.lookup(public(address)?).ok()?;
        found.decode::<Written<'_>>().ok()?.map(Place)
    }

    /// The country of an address, for less than [`Database::place`].
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let found = self.0.lookup(public(address)?).ok()?;
        let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
        Country::new(found.decode_path::<&str>(&path).ok()??)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = self.0.metadata();
        f.debug_struct("Database")
            .field("kind", &about.database_type)
            .field("built", &about.build_epoch)
            .finish_non_exhaustive()
    }
}

/// An address that somebody on the internet may have.
fn public(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let nobodys = match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (first == 100 && second & 0xc0 == 64) // shared by a provider's customers (RFC 6598)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || is_local(v6),
    };
    (!nobodys).then_some(address)
}

/// Unique local and link-local addresses (RFC 4193, RFC 4291).
const fn is_local(address: Ipv6Addr) -> bool {
    address.is_unique_local() || address.is_unicast_link_local()
}

/// What a database says of an address.
#[derive(Debug)]
pub struct Place<'d>(Written<'d>);

/// A record as MaxMind's databases write it; what isn't asked for is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written<'d> {
    #[serde(borrow)]
    country: Named<'d>,
    #[serde(borrow)]
    subdivisions: Vec<Named<'d>>,
    #[serde(borrow)]
    city: Named<'d>,
    #[serde(borrow)]
    postal: Postal<'d>,
    #[serde(borrow)]
    location: Location<'d>,
    traits: Traits,
    #[serde(deserialize_with = "number")]
    autonomous_system_number: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named<'d> {
    #[serde(borrow)]
    iso_code: Option<&'d str>,
    #[serde(borrow)]
    names: Names<'d>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names<'d> {
    #[serde(borrow)]
    en: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Postal<'d> {
    #[serde(borrow)]
    code: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location<'d> {
    #[serde(deserialize_with = "number")]
    latitude: Option<f64>,
    #[serde(deserialize_with = "number")]
    longitude: Option<f64>,
    #[serde(deserialize_with = "number")]
    metro_code: Option<f64>,
    #[serde(borrow)]
    time_zone: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Traits {
    #[serde(deserialize_with = "number")]
    autonomous_system_number: Option<f64>,
}

/// A number of any of the format's types: databases differ in them.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = f64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }
        fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
            Ok(number)
        }
        fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
            i32::try_from(number).map(f64::from).map_err(E::custom)
        }
        fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
            u32::try_from(number).map(f64::from).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Number).map(Some)
}

impl<'d> Place<'d> {
    /// The country.
    #[must_use]
    pub fn country(&self) -> Option<Country> {
        self.0.country.iso_code.and_then(Country::new)
    }

    /// The country's name in English.
    #[must_use]
    pub const fn country_name(&self) -> Option<&'d str> {
        self.0.country.names.en
    }

    /// The largest part of the country that it is in: the code after `US-` of ISO 3166-2.
    #[must_use]
    pub fn region(&self) -> Option<&'d str> {
        self.0.subdivisions.first()?.iso_code
    }

    /// The name of that part in English.
    #[must_use]
    pub fn region_name(&self) -> Option<&'d str> {
        self.0.subdivisions.first()?.names.en
    }

    /// The city's name in English.
    #[must_use]
    pub const fn city(&self) -> Option<&'d str> {
        self.0.city.names.en
    }

    /// The postal code.
    #[must_use]
    pub const fn postal_code(&self) -> Option<&'d str> {
        self.0.postal.code
    }

    /// The number of a television market, in the United States.
    #[must_use]
    pub const fn metro_code(&self) -> Option<f64> {
        self.0.location.metro_code
    }

    /// In degrees north.
    #[must_use]
    pub const fn latitude(&self) -> Option<f64> {
        self.0.location.latitude
    }

    /// In degrees east.
    #[must_use]
    pub const fn longitude(&self) -> Option<f64> {
        self.0.location.longitude
    }

    /// As the IANA time zone database has it: `Europe/London`.
    #[must_use]
    pub const fn time_zone(&self) -> Option<&'d str> {
        self.0.location.time_zone
    }

    /// The number of the network that announces the address, if the database has it.
    #[must_use]
    pub fn asn(&self) -> Option<f64> {
        self.0
            .autonomous_system_number
            .or(self.0.traits.autonomous_system_number)
    }
}

/// A country by its two letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Two capital letters. Whether anybody assigned them is asked by [`Country::is_assigned`].
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Self(letters))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default() // both are ASCII letters
    }

    /// Whether a country has these letters (ISO 3166-1 alpha-2, and `XK` for Kosovo, which databases use).
    #[must_use]
    pub fn is_assigned(self) -> bool {
        codes().any(|code| code == self.as_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The letters of every country.
pub fn codes() -> impl Iterator<Item = &'static str> {
    CODES.split_ascii_whitespace()
}

const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT \
    MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ \
    UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// Countries that a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Countries {
    /// These, and whoever's country is not known.
    Allow(Vec<Country>),
    /// All but these.
    Deny(Vec<Country>),
}

impl Countries {
    /// Whether visitors from `country` are let in. One that isn't known is, as `CloudFront` has it.
    #[must_use]
    pub fn admit(&self, country: Option<Country>) -> bool {
        match (self, country) {
            (_, None) => true,
            (Self::Allow(countries), Some(country)) => countries.contains(&country),
            (Self::Deny(countries), Some(country)) => !countries.contains(&country),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Countries, Country, codes, public};

    #[test]
    fn codes_are_sorted_and_each_there_once() {
        let all: Vec<&str> = codes().collect();
        assert_eq!(all.len(), 250, "249 of ISO 3166-1, and XK");
        assert!(all.is_sorted_by(|a, b| a < b));
        assert!(
            all.iter()
                .all(|code| Country::new(code).is_some_and(Country::is_assigned))
        );
        assert!(!Country::new("UK").unwrap().is_assigned());
        for wrong in ["", "D", "DEU", "de", "D1", "Ä"] {
            assert_eq!(Country::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_country_that_is_not_known_is_let_in() {
        let of = |code: &str| Country::new(code);
        let list = || vec![of("DE").unwrap(), of("AT").unwrap()];
        let (allow, deny) = (Countries::Allow(list()), Countries::Deny(list()));
        assert!(allow.admit(None) && deny.admit(None));
        assert!(allow.admit(of("AT")) && !deny.admit(of("AT")));
        assert!(!allow.admit(of("FR")) && deny.admit(of("FR")));
    }

    #[test]
    fn addresses_of_nobody_in_particular_are_in_no_country() {
        for address in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "::",
            "fd12::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(public(address.parse().unwrap()), None, "{address}");
        }
        for (address, looked_up) in [
            ("81.2.69.142", "81.2.69.142"),
            ("100.128.0.1", "100.128.0.1"),
            ("::ffff:81.2.69.142", "81.2.69.142"),
            ("2001:218::1", "2001:218::1"),
        ] {
            assert_eq!(public(address.parse().unwrap()), Some(looked_up.parse().unwrap()));
        }
    }
}

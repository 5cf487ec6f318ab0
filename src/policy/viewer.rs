//! What a backend is told of a viewer, under the names and in the forms that `CloudFront` uses.

use std::{borrow::Cow, fmt::Write, net::IpAddr};

use http::Version;

use super::{
    device::{Device, Kind},
    geo::Place,
};

macro_rules! viewer_headers {
    ($($header:ident = $name:literal, $field:literal);+ $(;)?) => {
        /// A field about the viewer. Its name is `CloudFront`'s.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ViewerHeader {
            $(
                #[doc = concat!("`", $name, "`.")]
                $header,
            )+
        }

        impl ViewerHeader {
            /// All of them, in the order that the documentation lists them in.
            pub const ALL: &'static [Self] = &[$(Self::$header),+];

            /// Its name as people write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$header => $name),+
                }
            }

            /// Its name in lower case, as heads keep it.
            #[must_use]
            pub const fn field(self) -> &'static str {
                match self {
                    $(Self::$header => $field),+
                }
            }
        }
    };
}

viewer_headers! {
    IsDesktop = "CloudFront-Is-Desktop-Viewer", "cloudfront-is-desktop-viewer";
    IsMobile = "CloudFront-Is-Mobile-Viewer", "cloudfront-is-mobile-viewer";
    IsTablet = "CloudFront-Is-Tablet-Viewer", "cloudfront-is-tablet-viewer";
    IsSmartTv = "CloudFront-Is-SmartTV-Viewer", "cloudfront-is-smarttv-viewer";
    IsAndroid = "CloudFront-Is-Android-Viewer", "cloudfront-is-android-viewer";
    IsIos = "CloudFront-Is-IOS-Viewer", "cloudfront-is-ios-viewer";
    Country = "CloudFront-Viewer-Country", "cloudfront-viewer-country";
    CountryName = "CloudFront-Viewer-Country-Name", "cloudfront-viewer-country-name";
    Region = "CloudFront-Viewer-Country-Region", "cloudfront-viewer-country-region";
    RegionName = "CloudFront-Viewer-Country-Region-Name", "cloudfront-viewer-country-region-name";
    City = "CloudFront-Viewer-City", "cloudfront-viewer-city";
    PostalCode = "CloudFront-Viewer-Postal-Code", "cloudfront-viewer-postal-code";
    MetroCode = "CloudFront-Viewer-Metro-Code", "cloudfront-viewer-metro-code";
    Latitude = "CloudFront-Viewer-Latitude", "cloudfront-viewer-latitude";
    Longitude = "CloudFront-Viewer-Longitude", "cloudfront-viewer-longitude";
    TimeZone = "CloudFront-Viewer-Time-Zone", "cloudfront-viewer-time-zone";
    Asn = "CloudFront-Viewer-ASN", "cloudfront-viewer-asn";
    Address = "CloudFront-Viewer-Address", "cloudfront-viewer-address";
    HttpVersion = "CloudFront-Viewer-Http-Version", "cloudfront-viewer-http-version";
    Tls = "CloudFront-Viewer-TLS", "cloudfront-viewer-tls";
    ForwardedProto = "CloudFront-Forwarded-Proto", "cloudfront-forwarded-proto";
}

/// What is known of a viewer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Its address, as trusted proxies say. `None`: nobody said one (explain).
    pub client: Option<IpAddr>,
    /// The connection that it came on. `None`: there is none (explain).
    pub connection: Option<Connection<'a>>,
    /// Its `User-Agent`, empty if it sent none.
    pub user_agent: &'a [u8],
    /// What the database says of its address.
    pub place: Option<&'a Place<'a>>,
}

/// The connection of a viewer.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// The port at its far end; `None` where a proxy stands between and the viewer's own is not known.
    pub port: Option<u16>,
    /// What the viewer speaks.
    pub version: Version,
    /// What TLS agreed on, if there is any.
    pub tls: Option<Tls<'a>>,
}

/// What TLS agreed on.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// `1.2` or `1.3`.
    pub version: &'a str,
    /// The cipher suite as OpenSSL calls it.
    pub cipher: &'a str,
    /// An earlier session was taken up again.
    pub resumed: bool,
}

impl ViewerHeader {
    /// The field of that name; upper and lower case are the same.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|header| header.name().eq_ignore_ascii_case(name))
            .copied()
    }

    /// Whether its value comes from the database of places.
    #[must_use]
    pub const fn needs_database(self) -> bool {
        match self {
            Self::Country
            | Self::CountryName
            | Self::Region
            | Self::RegionName
            | Self::City
            | Self::PostalCode
            | Self::MetroCode
            | Self::Latitude
            | Self::Longitude
            | Self::TimeZone
            | Self::Asn => true,
            Self::IsDesktop
            | Self::IsMobile
            | Self::IsTablet
            | Self::IsSmartTv
            | Self::IsAndroid
            | Self::IsIos
            | Self::Address
            | Self::HttpVersion
            | Self::Tls
            | Self::ForwardedProto => false,
        }
    }

    /// Its value for a viewer. `None`: not known, and the field is not sent.
    #[must_use]
    pub fn value<'a>(self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        let place = facts.place;
        let device = || Device::of(facts.user_agent);
        let is = |kind: Kind| Some(truth(device().kind == kind));
        match self {
            Self::IsDesktop => is(Kind::Desktop),
            Self::IsMobile => is(Kind::Mobile),
            Self::IsTablet => is(Kind::Tablet),
            Self::IsSmartTv => is(Kind::SmartTv),
            Self::IsAndroid => Some(truth(device().android)),
            Self::IsIos => Some(truth(device().ios)),
            Self::Country => place?.country().map(|country| Cow::Owned(country.to_string())),
            Self::CountryName => place?.country_name().map(escaped),
            Self::Region => place?.region().map(escaped),
            Self::RegionName => place?.region_name().map(escaped),
            Self::City => place?.city().map(escaped),
            Self::PostalCode => place?.postal_code().map(escaped),
            Self::MetroCode => place?.metro_code().map(|code| Cow::Owned(code.to_string())),
            Self::Latitude => place?.latitude().map(degrees),
            Self::Longitude => place?.longitude().map(degrees),
            Self::TimeZone => place?.time_zone().map(escaped),
            Self::Asn => place?.asn().map(|asn| Cow::Owned(asn.to_string())),
            Self::Address => address(facts),
            Self::HttpVersion => Some(Cow::Borrowed(version(facts.connection?.version))),
            Self::Tls => facts.connection?.tls.map(tls),
            Self::ForwardedProto => {
                let secure = facts.connection?.tls.is_some();
                Some(Cow::Borrowed(if secure { "https" } else { "http" }))
            }
        }
    }
}

/// Whether a client's field (in lower case) is or looks like one that only Banyan may say on a route that tells of viewers. Some
/// servers read `_` as `-`.
#[must_use]
pub fn is_reserved(field: &str) -> bool {
    const STARTS: [&str; 3] = [
        "cloudfront-viewer-",
        "cloudfront-is-",
        "cloudfront-forwarded-proto",
    ];
    let same = |start: &str| {
        field.len() >= start.len()
            && field
                .bytes()
                .zip(start.bytes())
                .all(|(byte, wanted)| byte == wanted || (byte == b'_' && wanted == b'-'))
    };
    STARTS.iter().any(|start| same(start))
}

const fn truth(is: bool) -> Cow<'static, str> {
    Cow::Borrowed(if is { "true" } else { "false" })
}

/// Five places after the point: a metre, and what `CloudFront` writes.
fn degrees(degrees: f64) -> Cow<'static, str> {
    Cow::Owned(format!("{degrees:.5}"))
}

/// `192.0.2.7:4711`; an IPv6 address stands without brackets, as `CloudFront` writes it. Port 0 where a proxy hides it, so that
/// whoever takes the text apart at its last colon finds the address.
fn address(facts: &Facts<'_>) -> Option<Cow<'static, str>> {
    let port = facts.connection?.port.unwrap_or(0);
    Some(Cow::Owned(format!("{}:{port}", facts.client?)))
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

fn tls(tls: Tls<'_>) -> Cow<'static, str> {
    let shake = if tls.resumed {
        "sessionResumed"
    } else {
        "fullHandshake"
    };
    Cow::Owned(format!("TLSv{}:{}:{shake}", tls.version, tls.cipher))
}

/// A name from the database, with all but visible ASCII and spaces escaped as in addresses: fields have no other characters.
fn escaped(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // writing to a String never fails
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::{Connection, Facts, Tls, ViewerHeader, escaped, is_reserved};

    #[test]
    fn names_and_fields_are_the_same_but_for_case() {
        for header in ViewerHeader::ALL {
            assert_eq!(header.field(), header.name().to_ascii_lowercase());
            assert_eq!(ViewerHeader::named(header.field()), Some(*header));
            assert!(is_reserved(header.field()), "{}", header.name());
            assert!(is_reserved(&header.field().replace('-', "_")));
        }
        assert!(is_reserved("cloudfront-viewer-ja3-fingerprint"));
        assert!(!is_reserved("cloudfront-policy"));
        assert!(!is_reserved("cloudfront"));
    }

    #[test]
    fn a_connection_is_told_in_cloudfronts_words() {
        let facts = |client: &str, port, version, tls| Facts {
            client: Some(client.parse().unwrap()),
            connection: Some(Connection { port, version, tls }),
            ..Facts::default()
        };
        let tls = |resumed| {
            Some(Tls {
                version: "1.3",
                cipher: "TLS_AES_128_GCM_SHA256",
                resumed,
            })
        };
        let told = |header: ViewerHeader, facts: &Facts<'_>| header.value(facts).unwrap().into_owned();
        let one = facts("192.0.2.7", Some(4711), Version::HTTP_2, tls(false));
        assert_eq!(told(ViewerHeader::Address, &one), "192.0.2.7:4711");
        assert_eq!(told(ViewerHeader::HttpVersion, &one), "2.0");
        assert_eq!(
            told(ViewerHeader::Tls, &one),
            "TLSv1.3:TLS_AES_128_GCM_SHA256:fullHandshake"
        );
        assert_eq!(told(ViewerHeader::ForwardedProto, &one), "https");
        let other = facts("2001:db8::7", None, Version::HTTP_11, None);
        assert_eq!(told(ViewerHeader::Address, &other), "2001:db8::7:0");
        assert_eq!(told(ViewerHeader::HttpVersion, &other), "1.1");
        assert_eq!(ViewerHeader::Tls.value(&other), None);
        assert_eq!(told(ViewerHeader::ForwardedProto, &other), "http");
        assert!(
            told(
                ViewerHeader::Tls,
                &facts("192.0.2.7", None, Version::HTTP_11, tls(true))
            )
            .ends_with(":sessionResumed")
        );
        assert_eq!(ViewerHeader::Country.value(&one), None);
    }

    #[test]
    fn names_of_places_fit_into_a_field() {
        assert_eq!(escaped("United Kingdom"), "United Kingdom");
        assert_eq!(escaped("São Paulo"), "S%C3%A3o Paulo");
        assert_eq!(escaped("100%\n"), "100%25%0A");
    }
}

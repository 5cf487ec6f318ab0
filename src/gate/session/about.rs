//! What an identity provider says of itself (OpenID Connect Discovery 1.0 section 3), as far as it is believed.

use http::Uri;
use serde_json::Value;

use super::super::json;

/// Most bytes of a provider's self-description.
pub const ABOUT_BYTES_MAX: usize = 128 * 1024;

/// A provider's addresses and manners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Where browsers sign in.
    pub authorization: String,
    /// Where codes and refresh tokens are redeemed.
    pub token: String,
    /// Where browsers sign out, if the provider offers that.
    pub end_session: Option<String>,
    /// The answer to a sign-in always says who gives it (RFC 9207).
    pub says_issuer: bool,
    /// The client's secret goes into the form: the provider takes it nowhere else.
    pub secret_in_form: bool,
}

/// Why a self-description is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAbout {
    /// It is not JSON, or has a member twice.
    #[error("is not JSON")]
    Json,
    /// Its `issuer` is another one: whoever serves it would let that one's users in.
    #[error("names another issuer")]
    Issuer,
    /// An address is missing, malformed, or less safe than the issuer's.
    #[error("has no usable `{0}`")]
    Address(&'static str),
}

impl About {
    /// Reads the self-description of `issuer`.
    ///
    /// # Errors
    /// [`BadAbout`].
    pub fn read(text: &[u8], issuer: &str) -> Result<Self, BadAbout> {
        let value = json::parse(text).map_err(|_| BadAbout::Json)?;
        // section 4.3: exactly, without any normalisation
        if value.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(BadAbout::Issuer);
        }
        let address = |key: &'static str| match value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(address)) if is_address(address, issuer) => Ok(Some(address.clone())),
            Some(_) => Err(BadAbout::Address(key)),
        };
        let needed = |key: &'static str| address(key)?.ok_or(BadAbout::Address(key));
        let methods = value.get("token_endpoint_auth_methods_supported");
        let takes = |method: &str| {
            let listed = methods.and_then(Value::as_array);
            listed.is_some_and(|list| list.iter().any(|known| known == method))
        };
        Ok(Self {
            authorization: needed("authorization_endpoint")?,
            token: needed("token_endpoint")?,
            end_session: address("end_session_endpoint")?,
            says_issuer: value.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
        })
    }
}

/// An http or https address in visible ASCII without fragment and user, over TLS where the issuer is.
fn is_address(address: &str, issuer: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else {
        return false;
    };
    let scheme = uri.scheme_str();
    let safe = scheme == Some("https") || scheme == Some("http") && issuer.starts_with("http://");
    let host = uri
        .authority()
        .is_some_and(|host| !host.as_str().contains('@') && !host.host().is_empty());
    safe && host && !address.contains('#') && address.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{About, BadAbout};

    const ISSUER: &str = "https://id.example.test";

    #[track_caller]
    fn check(change: &Value, expected: Result<(), BadAbout>) {
        let mut about = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example.test/auth",
            "token_endpoint": "https://id.example.test/token",
        });
        for (key, value) in change.as_object().unwrap() {
            about[key] = value.clone();
        }
        let read = About::read(about.to_string().as_bytes(), ISSUER);
        assert_eq!(read.map(|_| ()), expected, "{change}");
    }

    #[test]
    fn a_self_description_is_believed_only_so_far() {
        let token = || Err(BadAbout::Address("token_endpoint"));
        check(&json!({}), Ok(()));
        check(&json!({ "issuer": "https://evil.test" }), Err(BadAbout::Issuer));
        check(
            &json!({ "issuer": "https://id.example.test/" }),
            Err(BadAbout::Issuer),
        );
        check(&json!({ "token_endpoint": null }), token());
        check(
            &json!({ "token_endpoint": "http://id.example.test/token" }),
            token(),
        );
        check(
            &json!({ "token_endpoint": "https://a@id.example.test/token" }),
            token(),
        );
        check(
            &json!({ "token_endpoint": "https://id.example.test/#token" }),
            token(),
        );
        check(&json!({ "token_endpoint": "/token" }), token());
        check(
            &json!({ "end_session_endpoint": 7 }),
            Err(BadAbout::Address("end_session_endpoint")),
        );
        assert_eq!(About::read(b"{", ISSUER), Err(BadAbout::Json));
    }
}

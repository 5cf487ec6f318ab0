//! The OpenAPI document says what is served, and what is served is as the document says.

use http::StatusCode;
use serde_json::Value;

use super::site::{get, tell, view, view_after, view_in};
use crate::control::admin::openapi::document;

/// Every path that clients may rely on, with a request that it answers.
const PROMISED: [(&str, &str); 30] = [
    ("/", "/?find=x&url=/courses/rust"),
    ("/flags", "/flags"),
    ("/flags/{key}", "/flags/course-reviews?url=/courses/rust/reviews"),
    ("/assets/flag.js", "/assets/flag.js"),
    ("/assets/cache.js", "/assets/cache.js"),
    ("/assets/style.css", "/assets/style.css"),
    ("/assets/script.js", "/assets/script.js"),
    ("/assets/banyan.svg", "/assets/banyan.svg"),
    ("/healthz", "/healthz"),
    ("/livez", "/livez"),
    ("/readyz", "/readyz"),
    ("/metrics", "/metrics"),
    ("/api/status", "/api/status"),
    ("/api/routes", "/api/routes"),
    ("/api/flags", "/api/flags"),
    ("/api/flags/{key}", "/api/flags/course-reviews"),
    ("/api/flags/{key}/history", "/api/flags/course-reviews/history"),
    ("/api/history", "/api/history?flag=x&limit=2&before=9"),
    ("/api/live", "/api/live?once=true"),
    ("/api/me", "/api/me"),
    ("/cache", "/cache"),
    ("/api/cache", "/api/cache"),
    (
        "/api/cache/explain",
        "/api/cache/explain?url=https://www.example.com/a?b=1",
    ),
    ("/api/backends", "/api/backends"),
    ("/api/squads", "/api/squads"),
    ("/api/rooms", "/api/rooms"),
    ("/api/drills", "/api/drills"),
    (
        "/api/explain",
        "/api/explain?url=/courses/rust/reviews&user=mina&role=staff",
    ),
    ("/api/identity/jwks", "/api/identity/jwks"),
    ("/api/openapi.json", "/api/openapi.json"),
];

/// Orders with a body that each takes.
const ORDERED: [(&str, &str, &str); 11] = [
    (
        "patch",
        "/api/flags/{key}",
        r#"{"description":"x","rollout":{"new":3.0},"set":{"squad":null}}"#,
    ),
    ("post", "/api/flags/{key}/kill", r#"{"reason":"x","how":"page"}"#),
    ("post", "/api/flags/{key}/restore", "{}"),
    ("post", "/api/flags/{key}/ramp", r#"{"share":5.0}"#),
    ("post", "/api/flags/{key}/undo", "{}"),
    (
        "post",
        "/api/decide",
        r#"{"flag":"course-reviews","url":"/courses/rust/reviews"}"#,
    ),
    ("post", "/api/flags/{key}/schedule", r#"{"schedule":[]}"#),
    (
        "post",
        "/api/cache/purge",
        r#"{"paths":["/a","/b/*"],"host":"www.example.com","tags":["red"],"groups":["g"],"hard":true,"reason":"x","by":"y"}"#,
    ),
    (
        "post",
        "/api/flags/{key}/links",
        r#"{"variant":"new","reason":"x","for":"1h","to":"/a","host":"www.example.com","also":{}}"#,
    ),
    (
        "post",
        "/api/drills",
        r#"{"route":null,"path":"/x/*","what":"delay=1s","share":0.5,"header":"x-drill: yes","visitor":null,"for":"1m","reason":"x","by":null}"#,
    ),
    ("post", "/api/drills/{id}/end", r#"{"reason":"x"}"#),
];

#[tokio::test]
async fn orders_are_answered_and_refused_as_the_document_says() {
    let document = document();
    let folder = tempfile::tempdir().unwrap();
    let view = view_in(folder.path());
    for (method, path, body) in ORDERED {
        let target = path.replace("{key}", "course-reviews").replace("{id}", "d1");
        let schema =
            &document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"];
        let body_schema =
            &document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"];
        check(&serde_json::from_str(body).unwrap(), body_schema, &document, path);
        let told = tell(&view, method, &target, "*", body).await;
        assert_eq!(told.status, StatusCode::OK, "{path}: {}", told.text);
        check(
            &serde_json::from_str(&told.text).unwrap(),
            schema,
            &document,
            path,
        );
    }
    let refused =
        &document["components"]["responses"]["Refused"]["content"]["application/problem+json"]["schema"];
    for (version, body, status) in [
        ("\"old\"", r#"{"share":6.0}"#, StatusCode::CONFLICT),
        ("", r#"{"share":6.0}"#, StatusCode::PRECONDITION_REQUIRED),
        ("*", r#"{"share":600.0}"#, StatusCode::UNPROCESSABLE_ENTITY),
        ("*", "{}", StatusCode::BAD_REQUEST),
    ] {
        let told = tell(&view, "post", "/api/flags/course-reviews/ramp", version, body).await;
        assert_eq!(told.status, status, "{}", told.text);
        check(
            &serde_json::from_str(&told.text).unwrap(),
            refused,
            &document,
            body,
        );
    }
    let schema = &document["paths"]["/api/history"]["get"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    let told: Value = serde_json::from_str(&get(&view, "/api/history").await.text).unwrap();
    assert!(told["entries"].as_array().unwrap().len() >= 4, "{told}");
    check(&told, schema, &document, "/api/history");
}

/// Paths that are asked otherwise than by a GET that ends, or an order that needs nothing before it.
const PROMISED_OTHERWISE: [&str; 4] = [
    "/api/links/{id}/revoke",
    "/ofrep/v1/evaluate/flags",
    "/ofrep/v1/evaluate/flags/{key}",
    "/ofrep/v1/events",
];

#[tokio::test]
async fn what_is_documented_is_served_and_the_other_way_round() {
    let document = document();
    let mut documented: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut promised: Vec<&str> = PROMISED.iter().map(|(path, _)| *path).collect();
    promised.extend(PROMISED_OTHERWISE);
    documented.sort_unstable();
    promised.extend(ORDERED.iter().map(|(_, path, _)| *path));
    promised.sort_unstable();
    promised.dedup();
    assert_eq!(documented, promised);
    for (path, request) in PROMISED {
        let told = get(&view(), request).await;
        assert_eq!(told.status, StatusCode::OK, "{path}: {}", told.text);
        let media = told.headers["content-type"].to_str().unwrap();
        let content = &document["paths"][path]["get"]["responses"]["200"]["content"];
        let listed = content
            .as_object()
            .unwrap()
            .keys()
            .any(|listed| media.split(';').next() == listed.split(';').next());
        assert!(listed, "{path} is {media}");
    }
}

#[test]
fn what_an_address_or_a_change_needs_is_in_the_document() {
    let document = document();
    let mut changes = 0;
    for (path, ways) in document["paths"].as_object().unwrap() {
        for (way, described) in ways.as_object().unwrap() {
            let parameters = described["parameters"].as_array().unwrap();
            let has = |name: &str, place: &str| {
                let mut named = parameters.iter().filter(|one| one["name"] == name);
                named.any(|one| one["in"] == place && one["required"] == true)
            };
            for part in path.split('/').filter(|part| part.starts_with('{')) {
                assert!(has(part.trim_matches(['{', '}']), "path"), "{way} {path}");
            }
            let versioned = !described["responses"]["428"].is_null();
            assert_eq!(has("If-Match", "header"), versioned, "{way} {path}");
            changes += usize::from(versioned);
        }
    }
    assert!(changes > 4);
}

#[tokio::test]
async fn every_answer_has_the_shape_that_its_schema_promises() {
    let document = document();
    let broken = "squad = \"learn\"\n[[routes]]\npath = \"/x\"\nbackend = \"learn-wbe\"\n";
    let mut checked = 0;
    for view in [view(), view_after("routes/learn.toml", broken)] {
        for (path, request) in PROMISED {
            let schema =
                &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            if schema.is_null() {
                continue;
            }
            let told: Value = serde_json::from_str(&get(&view, request).await.text).unwrap();
            check(&told, schema, &document, path);
            checked += 1;
        }
    }
    assert_eq!(checked, 2 * 16);
}

#[tokio::test]
async fn a_refusal_has_the_shape_that_is_promised() {
    let document = document();
    let schema =
        &document["components"]["responses"]["Refused"]["content"]["application/problem+json"]["schema"];
    for request in ["/nowhere", "/api/explain", "/api/flags/none"] {
        let told: Value = serde_json::from_str(&get(&view(), request).await.text).unwrap();
        check(&told, schema, &document, request);
    }
}

#[test]
#[should_panic(expected = "lacks `version`")]
fn the_check_notices_what_is_missing() {
    let document = document();
    let schema =
        &document["paths"]["/api/flags"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    check(
        &serde_json::json!({ "flags": [] }),
        schema,
        &document,
        "/api/flags",
    );
}

#[test]
#[should_panic(expected = "does not say `more`")]
fn the_check_notices_what_is_not_documented() {
    let document = document();
    let schema =
        &document["paths"]["/api/flags"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    check(
        &serde_json::json!({ "flags": [], "version": 1, "more": 1 }),
        schema,
        &document,
        "/api/flags",
    );
}

/// As much of JSON Schema as the document uses.
#[track_caller]
fn check(value: &Value, schema: &Value, document: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        return check(
            value,
            target.unwrap_or_else(|| panic!("{at}: {reference} leads nowhere")),
            document,
            at,
        );
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fitting = any
            .iter()
            .find(|schema| value.is_null() == (schema["type"] == "null"));
        return check(
            value,
            fitting.unwrap_or_else(|| panic!("{at}: none fits {value}")),
            document,
            at,
        );
    }
    check_type(value, &schema["type"], at);
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for required in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            assert!(object.contains_key(required), "{at} lacks `{required}`");
        }
        for (name, inside) in object {
            let schema = properties
                .get(name)
                .unwrap_or_else(|| panic!("{at}: the document does not say `{name}`"));
            check(inside, schema, document, &format!("{at} {name}"));
        }
    }
    let pairs = schema["prefixItems"].as_array();
    for (place, inside) in value.as_array().into_iter().flatten().enumerate() {
        let schema = pairs
            .and_then(|pairs| pairs.get(place))
            .unwrap_or_else(|| &schema["items"]);
        if schema.is_object() {
            check(inside, schema, document, &format!("{at} {place}"));
        }
    }
}

#[track_caller]
fn check_type(value: &Value, wanted: &Value, at: &str) {
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |wanted: &str| wanted == own || (wanted == "integer" && (value.is_u64() || value.is_i64()));
    let fits = match wanted {
        Value::String(wanted) => fits(wanted),
        Value::Array(any) => any.iter().filter_map(Value::as_str).any(fits),
        _ => true,
    };
    assert!(fits, "{at}: {value} is no {wanted}");
}

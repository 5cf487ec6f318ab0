//! The OpenAPI 3.1 document: what [`ENDPOINTS`] says, in the words that client generators read.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    endpoints::{Endpoint, Needed, Parameter, Verb},
    refusal::Problem,
    table::ENDPOINTS,
};

/// The document. OpenAPI 3.1's schemas are JSON Schema 2020-12, so those of the answers' own types stand in it as they are.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let ways = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let (Some(ways), Value::Object(way)) = (ways.as_object_mut(), path(endpoint, &mut generator)) {
            ways.extend(way); // one address may be read and changed
        }
    }
    let problem = generator.subschema_for::<Problem>();
    let refused = json!({ "description": "Why not.", "content": { "application/problem+json": { "schema": problem } } });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Banyan admin listener",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What serves, for whom, and why. Every answer bears an ETag where it makes sense.",
        },
        "paths": paths,
        "security": [{}, { "bearer": [] }],
        "components": { "securitySchemes": { "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `[[admin.tokens]]`, or an access token of the gate's issuer with a role of `[admin.roles]`. \
                 Reading may need none; changing always needs one.",
        } }, "schemas": generator.take_definitions(true), "responses": { "Refused": refused } },
    })
}

fn path(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let schema = match endpoint.schema {
        Some(schema) => schema(generator).to_value(),
        None => json!({ "type": "string" }),
    };
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({ "description": endpoint.summary, "content": { endpoint.media: { "schema": schema } } }),
    );
    if endpoint.schema.is_some() {
        responses.insert(
            "304".to_owned(),
            json!({ "description": "It is what `If-None-Match` names." }),
        );
    }
    for (status, when) in endpoint.otherwise {
        responses.insert(status.to_string(), json!({ "description": when }));
    }
    responses.insert(
        "4XX".to_owned(),
        json!({ "$ref": "#/components/responses/Refused" }),
    );
    let mut parameters: Vec<Value> = endpoint
        .parameters
        .iter()
        .map(|parameter| described(endpoint, parameter))
        .collect();
    parameters.extend(nameless(endpoint));
    if endpoint.otherwise.iter().any(|(status, _)| *status == 428) {
        parameters.push(json!({
            "name": "If-Match",
            "in": "header",
            "description": "The version that the change is made for, in quotes, as its `ETag` has it; `*`: whatever is there.",
            "required": true,
            "schema": { "type": "string", "pattern": "^([*]|\"[^\"]+\")$" },
        }));
    }
    let mut described =
        json!({ "summary": endpoint.summary, "parameters": parameters, "responses": responses });
    if let (Some(takes), Some(described)) = (endpoint.takes(), described.as_object_mut()) {
        let content = json!({ "application/json": { "schema": takes(generator).to_value() } });
        described.insert(
            "requestBody".to_owned(),
            json!({ "required": true, "content": content }),
        );
    }
    let way = match endpoint.verb() {
        None => "get",
        Some(Verb::Post) => "post",
        Some(Verb::Patch) => "patch",
    };
    json!({ way: described })
}

fn described(endpoint: &Endpoint, parameter: &Parameter) -> Value {
    let in_path = endpoint.path.contains(&format!("{{{}}}", parameter.name));
    let schema = match parameter.needed {
        Needed::AnyNumber => json!({ "type": "array", "items": { "type": "string" } }),
        Needed::Once => json!({ "type": "string", "minLength": 1 }),
        Needed::Maybe => json!({ "type": "string" }),
        Needed::Number => json!({ "type": "integer", "minimum": 0 }),
    };
    json!({
        "name": parameter.name,
        "in": if in_path { "path" } else { "query" },
        "description": parameter.summary,
        "required": parameter.needed == Needed::Once,
        "schema": schema,
    })
}

/// The parts of the path that no parameter describes.
fn nameless(endpoint: &Endpoint) -> impl Iterator<Item = Value> {
    let parts = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let known = |name: &str| endpoint.parameters.iter().any(|parameter| parameter.name == name);
    parts.filter(move |name| !known(name)).map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    })
}

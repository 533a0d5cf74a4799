//! `/v1/openapi.json`: the control API as an OpenAPI 3.1 document, checked in as `docs/openapi.json`.
//!
//! Owns: the document, made of the routes' table and the types. Never: written by hand.

use axum::Json;
use openrtc_control_api::{PREFIX, Problem, Readiness, VERSION_HEADER, WorkerInfo};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::routes::{Answer, Route, table};

/// The document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths = Map::new();
    for route in table() {
        let operation = operation(&mut generator, &route);
        let path = paths.entry(format!("{PREFIX}{}", route.path)).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    paths.extend(probes(&mut generator));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "openrtc-supervisor control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "HTTP/1.1 with JSON over a Unix socket, or over TCP where `[supervisor] control_listen` says so. \
                            docs/control-api.md says who may ask, within which bounds, and what events look like.",
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "http://localhost", "description": "over the control socket" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "Refused; `reason` is stable.",
                    "headers": { VERSION_HEADER: { "schema": { "type": "string" } } },
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(generator: &mut SchemaGenerator, route: &Route) -> Value {
    let content = match route.answer {
        Answer::Json(shape) => json!({ "application/json": { "schema": shape(generator) } }),
        Answer::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "responses": {
            "200": { "description": "It worked.", "content": content },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    let parameters = parameters(generator, route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = route.body {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": body(generator) } } });
    }
    operation
}

/// `post_sessions_id_end`.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    words.fold(route.method.to_owned(), |id, word| format!("{id}_{word}"))
}

fn parameters(generator: &mut SchemaGenerator, route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if route.path == "/events" {
        let what = "Resume after this event.";
        parameters.push(
            json!({ "name": "Last-Event-ID", "in": "header", "description": what, "schema": { "type": "string" } }),
        );
    }
    let Some(query) = route.query else { return parameters };
    let query = query(generator).to_value();
    let required = |name: &str| query["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
    for (name, schema) in query["properties"].as_object().into_iter().flatten() {
        let mut schema = schema.clone();
        let what = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        let needed = required(name);
        parameters
            .push(json!({ "name": name, "in": "query", "required": needed, "description": what, "schema": schema }));
    }
    parameters
}

/// What stands beside the prefix; probes need no token.
fn probes(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let text = json!({ "text/plain": { "schema": { "type": "string" } } });
    let readiness = json!({ "application/json": { "schema": schema::<Readiness>(generator) } });
    let worker = json!({ "application/json": { "schema": schema::<WorkerInfo>(generator) } });
    let probes = [
        ("/healthz", "Whether the process lives", text.clone(), Some(text)),
        ("/readyz", "Whether sessions are taken, and why not", readiness.clone(), Some(readiness)),
        ("/worker", "The worker, as livekit-agents tells it", worker, None),
    ];
    let path = |(path, summary, good, bad): (&str, &str, Value, Option<Value>)| {
        let mut responses = json!({ "200": { "description": "Yes.", "content": good } });
        if let Some(bad) = bad {
            responses["503"] = json!({ "description": "No.", "content": bad });
        }
        let operation = json!({ "operationId": format!("get_{}", &path[1..]), "summary": summary, "security": [], "responses": responses });
        (path.to_owned(), json!({ "get": operation }))
    };
    let exposition = json!({ "200": { "description": "As it was asked for: Prometheus' text, or OpenMetrics.", "content": {
        "text/plain": { "schema": { "type": "string" } }, "application/openmetrics-text": { "schema": { "type": "string" } } } } });
    let metrics =
        json!({ "operationId": "get_metrics", "summary": "What a Prometheus reads", "responses": exposition });
    let metrics = ("/metrics".to_owned(), json!({ "get": metrics }));
    probes.into_iter().map(path).chain([metrics]).collect()
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

pub(super) async fn show() -> Json<Value> {
    Json(openapi())
}

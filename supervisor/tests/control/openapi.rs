//! The OpenAPI document: what is checked in, what is served, what the routes are and what the page says are one.

use std::collections::BTreeSet;

use openrtc_supervisor::control::openapi;
use serde_json::Value;

use crate::harness::Server;

const CHECKED_IN: &str = include_str!("../../../docs/openapi.json");
const PAGE: &str = include_str!("../../../docs/control-api.md");

fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, methods): (&String, &Value)| {
        let methods: Vec<String> = methods.as_object().unwrap().keys().map(|it| it.to_uppercase()).collect();
        methods.into_iter().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

#[tokio::test]
async fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let server = Server::start();
    let served: Value = server.client().get("/v1/openapi.json").await.unwrap();
    assert_eq!(served, openapi());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        std::fs::write(page, serde_json::to_string_pretty(&served).unwrap() + "\n").unwrap();
        return;
    }
    let checked_in: Value = serde_json::from_str(CHECKED_IN).unwrap();
    assert!(checked_in == served, "docs/openapi.json is another one; write it anew with UPDATE_DOCS=1");
}

#[tokio::test]
async fn every_route_of_the_document_is_served_and_another_is_not() {
    let server = Server::start();
    for operation in operations(&openapi()) {
        let (method, path) = operation.split_once(' ').unwrap();
        // With the other method it is there, and is meant for this one.
        let other = if method == "GET" { "DELETE" } else { "PUT" };
        let answer = crate::access::asked(&server, other, &path.replace("{id}", "x")).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{operation}: {answer}");
    }
    let answer = crate::access::asked(&server, "GET", "/v1/nothing").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[test]
fn the_page_lists_the_routes_of_the_document_and_no_others() {
    let routes = PAGE.split("\n## Routes\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let cells = routes.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let mut told = BTreeSet::new();
    for cell in cells {
        let mut base = "";
        for name in cell.split('`').skip(1).step_by(2) {
            match name.strip_prefix('…') {
                // `POST /v1/tenants/{id}/suspend`, `…/resume`.
                Some(rest) => told.insert(format!("{}{rest}", base.rsplit_once('/').unwrap().0)),
                None => {
                    base = name;
                    told.insert(name.to_owned())
                }
            };
        }
    }
    assert_eq!(told, operations(&openapi()));
}

//! The OpenAPI document, made from the table of routes; `users/openapi.json` is what it says.

use serde_json::{Map, Value, json};

use super::routes::{ROUTES, Route};
use crate::scope::Scope;
use crate::store::Role;

/// What people are shown.
const NO_CONTROLS: &str = "^[^\\x00-\\x1f\\x7f-\\x9f]*$";
/// Empty, or an address.
const MAIL: &str = "^([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+)?$";
/// Those that every server takes; a SIP URI of an address of record is taken, too.
const AOR: &str = "^(sips?:)?[A-Za-z0-9+._-]+@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\\.)*[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$";

/// The document (OpenAPI 3.1).
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.verb.name().to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strowger",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accounts, logins, and what goes on in the SIP engine.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" }
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An access token or an API key" }
            },
            "schemas": schemas()
        }
    })
}

fn operation(route: &Route) -> Value {
    let (status, schema) = route.gives;
    let mut responses = Map::new();
    let mut good = json!({ "description": route.summary });
    if let Some(schema) = schema {
        good["content"] = content("application/json", schema);
    }
    responses.insert(status.to_string(), good);
    let problem =
        |why: &str| json!({ "description": why, "content": content("application/problem+json", "Problem") });
    let mut refusals =
        vec![("400", "The request is malformed"), ("429", "Too many requests; see Retry-After")];
    refusals.push(("503", "Not now; see Retry-After"));
    if route.scope.is_some() {
        refusals.extend([("401", "No credentials, or none that are good"), ("403", "Not allowed")]);
    }
    if route.path.contains('{') {
        refusals.push(("404", "There is no such thing"));
    }
    if route.takes.is_some() {
        refusals.extend([("408", "The body came too slowly"), ("413", "The body is too large")]);
        refusals.extend([("415", "The body is not application/json"), ("422", "A value cannot be")]);
    }
    match (route.verb.name(), route.path) {
        ("POST", "/auth/login" | "/auth/refresh") => refusals.push(("401", "Refused")),
        ("POST", "/users") | ("PATCH" | "DELETE", "/users/{username}") => {
            refusals.push(("409", "Taken by another account, or the last administrator"));
        }
        ("GET", "/presence/{aor}") => refusals.push(("501", "This server does not do that")),
        ("GET", "/auth/jwks.json") => {
            responses.insert("304".into(), json!({ "description": "Not changed since that ETag" }));
        }
        _ => {}
    }
    for (status, why) in refusals {
        responses.insert(status.into(), problem(why));
    }
    let mut parameters: Vec<Value> = route.path.split('/').filter_map(path_parameter).collect();
    parameters.extend(route.query.iter().map(|name| query_parameter(route, name)));
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "responses": responses
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = route.takes {
        operation["requestBody"] =
            json!({ "required": true, "content": content("application/json", schema) });
    }
    if let Some(scope) = route.scope {
        operation["security"] = json!([{ "bearer": [] }]);
        operation["description"] =
            format!("Needs the scope `{}`: {} and above.", scope.name(), scope.role().name()).into();
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route
        .path
        .split(['/', '.'])
        .map(|part| part.trim_matches(['{', '}']))
        .filter(|part| !part.is_empty());
    words.fold(route.verb.name().to_ascii_lowercase(), |id, word| format!("{id}_{word}"))
}

fn content(kind: &str, schema: &str) -> Value {
    let mut content = Map::new();
    content.insert(kind.into(), json!({ "schema": reference(schema) }));
    content.into()
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn path_parameter(part: &str) -> Option<Value> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    Some(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
}

fn query_parameter(route: &Route, name: &str) -> Value {
    let (schema, why) = match name {
        "limit" => {
            (json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }), "The most items")
        }
        "after" if matches!(route.path, "/calls" | "/subscriptions") => {
            (json!({ "type": "integer", "minimum": 0 }), "`next` of the page before")
        }
        "after" => (json!({ "type": "string" }), "`next` of the page before"),
        _ => (json!({ "type": "string" }), "A Contact URI; without it all of them"),
    };
    json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": why })
}

/// An object of these members, of which the first so many must be there.
fn object(required: usize, members: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = members.iter().take(required).map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        members.iter().map(|(name, schema)| (name.to_string(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": names })
}

/// The same, and nothing else: what the server takes.
fn body(required: usize, members: &[(&str, Value)]) -> Value {
    let mut object = object(required, members);
    object["additionalProperties"] = false.into();
    object
}

fn list(schema: &str) -> Value {
    object(1, &[("items", json!({ "type": "array", "items": reference(schema) }))])
}

fn page(schema: &str) -> Value {
    let next = json!({ "type": ["string", "null"], "description": "What to ask for with `after`" });
    object(2, &[("items", json!({ "type": "array", "items": reference(schema) })), ("next", next)])
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let flag = || json!({ "type": "boolean" });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let time = || json!({ "type": "integer", "description": "Seconds since the Unix epoch" });
    let maybe = |kind: &str| json!({ "type": [kind, "null"] });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let secret = |least: usize| json!({ "type": "string", "format": "password", "minLength": least, "maxLength": 1024 });
    let role = || json!({ "type": "string", "enum": Role::ALL.map(Role::name) });
    let scopes =
        || json!({ "type": "array", "items": { "type": "string", "enum": Scope::ALL.map(Scope::name) } });
    let username = || json!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9][A-Za-z0-9._+@-]*$" });
    let plain = |kind: Value, least: usize| json!({ "type": kind, "minLength": least, "maxLength": 128, "pattern": NO_CONTROLS });
    let mail = |kind: Value| json!({ "type": kind, "maxLength": 254, "pattern": MAIL });
    let aors = |kind: Value| json!({ "type": kind, "maxItems": 32, "items": { "type": "string", "maxLength": 255, "pattern": AOR } });
    let asked = || {
        let names = Scope::ALL.map(Scope::name);
        json!({ "type": "array", "minItems": 1, "maxItems": 32, "items": { "type": "string", "enum": names } })
    };
    let string = || json!("string");
    let nullable = || json!(["string", "null"]);
    let key = [
        ("id", text()),
        ("name", text()),
        ("scopes", scopes()),
        ("created", time()),
        ("expires", maybe("integer")),
        ("last_used", maybe("integer")),
    ];
    let new_key: Vec<(&str, Value)> = [("api_key", text())].into_iter().chain(key.clone()).collect();
    json!({
        "Any": { "type": "object" },
        "Problem": object(3, &[
            ("type", text()), ("title", text()), ("status", count()), ("detail", text()), ("field", text())
        ]),
        "Login": body(2, &[("username", text()), ("password", secret(0)), ("scope", maybe("string"))]),
        "Refresh": body(1, &[("refresh_token", text())]),
        "Tokens": object(7, &[
            ("access_token", text()), ("token_type", json!({ "const": "Bearer" })), ("expires_in", count()),
            ("refresh_token", text()), ("refresh_expires_in", count()), ("scope", text()), ("username", text())
        ]),
        "Jwks": object(1, &[("keys", json!({ "type": "array", "items": { "type": "object" } }))]),
        "Health": object(2, &[("ok", flag()), ("status", text())]),
        "Account": object(10, &[
            ("username", username()), ("display_name", text()), ("email", text()), ("role", role()),
            ("enabled", flag()), ("aors", texts()), ("password", flag()), ("digest", flag()),
            ("created", time()), ("changed", time())
        ]),
        "Accounts": page("Account"),
        "NewAccount": body(1, &[
            ("username", username()),
            ("password", json!({ "type": ["string", "null"], "format": "password", "minLength": 8, "maxLength": 1024 })),
            ("digest", flag()), ("display_name", plain(string(), 0)), ("email", mail(string())),
            ("role", json!({ "anyOf": [role(), { "type": "null" }] })), ("enabled", maybe("boolean")),
            ("aors", aors(json!("array")))
        ]),
        "Patch": body(0, &[
            ("display_name", plain(nullable(), 0)), ("email", mail(nullable())),
            ("role", json!({ "anyOf": [role(), { "type": "null" }] })), ("enabled", maybe("boolean")),
            ("aors", aors(json!(["array", "null"])))
        ]),
        "OwnPatch": body(0, &[("display_name", plain(nullable(), 0)), ("email", mail(nullable()))]),
        "Password": body(1, &[("password", secret(8)), ("digest", maybe("boolean"))]),
        "OwnPassword": body(2, &[("current", secret(0)), ("new", secret(8))]),
        "ApiKey": object(6, &key),
        "ApiKeys": list("ApiKey"),
        "ApiKeyWish": body(2, &[("name", plain(string(), 1)), ("scopes", asked()), ("expires", maybe("integer"))]),
        "NewApiKey": object(7, &new_key),
        "Registration": object(9, &[
            ("aor", text()), ("contact", text()), ("q", json!({ "type": "number", "minimum": 0, "maximum": 1 })),
            ("since", time()), ("expires", time()), ("transport", text()), ("received", text()),
            ("user_agent", text()), ("instance", text())
        ]),
        "Registrations": list("Registration"),
        "RegistrationPage": page("Registration"),
        "Removed": object(1, &[("removed", count())]),
        "Presence": object(5, &[
            ("aor", text()), ("open", flag()), ("activities", texts()), ("note", text()), ("sources", count())
        ]),
        "Subscription": object(7, &[
            ("id", count()), ("event", text()), ("watcher", text()), ("target", text()),
            ("state", json!({ "type": "string", "enum": ["active", "pending", "blocked"] })),
            ("since", time()), ("expires", time())
        ]),
        "SubscriptionPage": page("Subscription"),
        "Call": object(6, &[
            ("id", count()), ("caller", text()), ("callee", text()), ("stage", text()), ("since", time()),
            ("legs", count())
        ]),
        "CallPage": page("Call")
    })
}

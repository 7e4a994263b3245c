//! Every place where a tenant can put a text, read from the document, so that the places of a new endpoint are
//! included.

use serde_json::{Map, Value};

use super::http::{Raw, encoded};
use super::stage::{DEMO, NODE};

/// A well-formed id of nothing, for requests that would end their subject or close it to others.
const NOTHING: &str = "550e8400-e29b-41d4-a716-446655440000";
/// A URL that may be played.
const GOOD_URL: &str = "http://127.0.0.1/a.wav";
const ENDING_OPERATIONS: [&str; 6] = [
    "deleteRoom",
    "leaveRoom",
    "kickMember",
    "lockRoom",
    "unlockRoom",
    "hangUpCall",
];

/// Returns the documented operations of the gateway API.
pub fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let mut all = Vec::new();
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths
        .iter()
        .filter(|(path, _)| path.starts_with("/api/v1/"))
    {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.as_str(), path.as_str(), operation));
        }
    }
    all
}

/// Returns the subjects of a path's parameters; a new parameter must be added here.
pub fn of_path(path: &str) -> Vec<&str> {
    let parts = path.split('{').skip(1);
    let names: Vec<&str> = parts
        .filter_map(|part| Some(part.split_once('}')?.0))
        .collect();
    for name in &names {
        let known = ["room_id", "uuid", "id", "webhook_id"];
        assert!(known.contains(name), "{path}: unknown parameter {name}");
    }
    names
}

/// Replaces the ids of a webhook path by ids of nothing: these requests send nothing to FreeSWITCH.
fn without_webhooks(path: &str) -> String {
    path.replace("{id}", "ep_0")
        .replace("{webhook_id}", &format!("msg_{}", "0".repeat(32)))
}

type Build = Box<dyn Fn(&[u8]) -> Raw>;
type Accepts = Box<dyn Fn(&str) -> bool>;

/// A place for a text, and the permitted answers.
pub struct Place {
    pub name: String,
    /// Builds the request with this text in the place.
    pub build: Build,
    /// Decides if a text is valid there, according to the document.
    pub accepts: Accepts,
    /// The statuses of an invalid text.
    pub refusals: &'static [u16],
    /// True if the document states every rule; otherwise a valid text may be refused, too.
    pub is_exact: bool,
    /// True if the place takes bytes that cannot be HTTP: then the server's parser answers, without a body.
    pub is_raw: bool,
}

/// The room and the call that requests are about.
pub struct Subjects<'a> {
    pub room: &'a str,
    pub call: &'a str,
}

impl Subjects<'_> {
    fn path(&self, path: &str, operation: &Value) -> String {
        let ends = ENDING_OPERATIONS.contains(&operation["operationId"].as_str().unwrap());
        let (room, call) = if ends {
            (
                format!("{NODE}-room-{NOTHING}"),
                format!("{NODE}-{NOTHING}"),
            )
        } else {
            (self.room.to_owned(), self.call.to_owned())
        };
        without_webhooks(path)
            .replace("{room_id}", &room)
            .replace("{uuid}", &call)
    }
}

/// Returns the places that the document has, and those of every request.
pub fn all(document: &Value, subjects: &Subjects<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (method, path, operation) in operations(document) {
        let what = format!("{method} {path}");
        for name in of_path(path) {
            places.extend(in_path(document, &what, method, (path, name), operation));
        }
        let target = subjects.path(path, operation);
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "query" {
                places.push(in_query(document, &what, &target, parameter));
            }
        }
        if let Some(media) = operation["requestBody"]["content"].get("application/json") {
            places.extend(in_body(document, &what, (method, &target), media, subjects));
        }
    }
    places.extend(in_urls(&format!(
        "/api/v1/conferences/{}/play",
        subjects.room
    )));
    places.push(in_count_template(&format!(
        "/api/v1/conferences/{}",
        subjects.room
    )));
    places.extend(in_headers());
    // A transfer takes the call out of its room, which plays nothing without a member.
    places.sort_by_key(|place| place.name.contains("/commands/transfer"));
    places
}

fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn in_path(
    document: &Value,
    what: &str,
    method: &str,
    (path, name): (&str, &str),
    operation: &Value,
) -> [Place; 2] {
    let (front, back) = path.split_once(&format!("{{{name}}}")).unwrap();
    // The path's other ids name nothing.
    let nothing = |part: &str| {
        without_webhooks(part)
            .replace("{room_id}", &format!("{NODE}-room-{NOTHING}"))
            .replace("{uuid}", &format!("{NODE}-{NOTHING}"))
    };
    let (front, back) = (nothing(front), nothing(back));
    let parameters = operation["parameters"].as_array().unwrap();
    let own = parameters.iter().find(|p| p["name"] == name).unwrap();
    let validator = validator(document, &own["schema"]);
    let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
    if body.get("prompt_url").is_some() {
        body["prompt_url"] = GOOD_URL.into();
    }
    if body.get("urls").is_some() {
        body["urls"] = vec![GOOD_URL].into();
    }
    if body.get("except").is_some() {
        body["except"] = Vec::<Value>::new().into();
    }
    if body.get("music_url").is_some() {
        body["music_url"] = GOOD_URL.into();
    }
    let request = {
        let method = method.to_uppercase();
        move |text: &[u8]| {
            let target = [front.as_bytes(), text, back.as_bytes()].concat();
            let request = Raw::new(&method, target, DEMO);
            if body.is_null() {
                request
            } else {
                request.body(body.to_string())
            }
        }
    };
    let raw = request.clone();
    [
        Place {
            name: format!("{what}: path, {name}"),
            build: Box::new(move |text| request(encoded(text).as_bytes())),
            accepts: Box::new(move |text| validator.is_valid(&Value::from(text))),
            refusals: &[400],
            is_exact: true,
            is_raw: false,
        },
        Place {
            name: format!("{what}: path, {name}, not encoded"),
            build: Box::new(raw),
            accepts: Box::new(|_| false),
            // A `/` leads to another path, or to none.
            refusals: &[400, 404, 405],
            is_exact: true,
            is_raw: true,
        },
    ]
}

fn in_query(document: &Value, what: &str, path: &str, parameter: &Value) -> Place {
    let name = parameter["name"].as_str().unwrap().to_owned();
    let validator = validator(document, &parameter["schema"]);
    let target = format!("{path}?{name}=");
    let is_number = parameter["schema"]["type"] == "integer";
    let is_list = parameter["schema"]["type"] == "array";
    Place {
        name: format!("{what}: query {name}"),
        build: Box::new(move |text| Raw::new("GET", format!("{target}{}", encoded(text)), DEMO)),
        accepts: Box::new(move |text| {
            if is_number {
                // Unlike in JSON, no sign and no decimal point.
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse::<u64>().map(Value::from);
                digits && number.is_ok_and(|number| validator.is_valid(&number))
            } else if name == "cursor" {
                // An unknown cursor is invalid; an empty one starts the list.
                text.is_empty()
            } else if is_list {
                let items: Vec<&str> = text.split(',').collect();
                validator.is_valid(&items.into())
            } else {
                validator.is_valid(&Value::from(text))
            }
        }),
        refusals: &[400],
        is_exact: true,
        is_raw: false,
    }
}

/// Returns the fields of a documented body, also of those that it shares with others.
pub fn fields(document: &Value, schema: &Value) -> Map<String, Value> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    let parts = |name: &str| schema[name].as_array().into_iter().flatten();
    let shared = parts("allOf").chain(parts("oneOf"));
    let own = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    shared
        .flat_map(|part| fields(document, part))
        .chain(own)
        .collect()
}

/// Returns every text of a documented body, as a JSON string and as bytes between quotes.
fn in_body(
    document: &Value,
    what: &str,
    (method, path): (&str, &str),
    media: &Value,
    subjects: &Subjects<'_>,
) -> Vec<Place> {
    let mut good = media["example"].as_object().unwrap().clone();
    // The other fields must be valid, so that only the text is refused.
    for (field, value) in [("room_id", subjects.room), ("session", subjects.call)] {
        if good.contains_key(field) {
            good.insert(field.to_owned(), value.into());
        }
    }
    for field in ["prompt_url", "music_url"] {
        if good.contains_key(field) {
            good.insert(field.to_owned(), GOOD_URL.into());
        }
    }
    if good.contains_key("urls") {
        good.insert("urls".to_owned(), vec![GOOD_URL].into());
    }
    if good.contains_key("except") {
        good.insert("except".to_owned(), Vec::<Value>::new().into());
    }
    if good.contains_key("to") {
        // With one id, only the first text would be dialled.
        good.remove("command_uid");
    }
    let mut places = Vec::new();
    for (field, schema) in &fields(document, &media["schema"]) {
        let is_list = schema["type"] == "array";
        let validator = validator(document, schema);
        let mut good = good.clone();
        if field == "prompt_text" {
            good.remove("prompt_url");
        }
        if ["extension", "context"].contains(&field.as_str()) {
            good.remove("to");
            good.insert("extension".to_owned(), "1000".into());
            good.insert("context".to_owned(), "desk".into());
        }
        let (front, back) = around(&good, field, is_list);
        let (method, target) = (method.to_uppercase(), path.to_owned());
        let wrap = move |text: &str| {
            let text = Value::from(text);
            if is_list { vec![text].into() } else { text }
        };
        places.push(Place {
            name: format!("{what}: {field}"),
            build: Box::new(move |text| {
                let body = [front.as_bytes(), &quoted(text), back.as_bytes()].concat();
                Raw::new(&method, target.clone(), DEMO).body(body)
            }),
            accepts: Box::new(move |text| validator.is_valid(&wrap(text))),
            refusals: &[400],
            // The schema does not state which addresses are allowed or which secrets are valid; times have only a
            // format name.
            is_exact: ![
                "urls",
                "url",
                "music_url",
                "alone_url",
                "pin",
                "pin_prompt_url",
                "pin_prompt_text",
                "wait_url",
                "secret",
                "since",
                "prompt_url",
                "prompt_text",
                "text",
                "voice",
            ]
            .contains(&field.as_str()),
            is_raw: false,
        });
    }
    places
}

/// Encodes a valid text as JSON, and puts other bytes between quotes unchanged.
fn quoted(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => Value::from(text).to_string().into_bytes(),
        Err(_) => [b"\"", text, b"\""].concat(),
    }
}

/// Returns the body before and after the value of a field.
fn around(good: &Map<String, Value>, field: &str, is_list: bool) -> (String, String) {
    const HERE: &str = "here";
    let mut body = good.clone();
    let value = Value::from(HERE);
    let value = if is_list { vec![value].into() } else { value };
    body.insert(field.to_owned(), value);
    let text = Value::Object(body).to_string();
    let (front, back) = text.split_once(&format!("\"{HERE}\"")).unwrap();
    (front.to_owned(), back.to_owned())
}

/// Returns the places within a played URL.
fn in_urls(path: &str) -> Vec<Place> {
    let around = [
        ("http://127.0.0.1/", ""),
        ("http://127.0.0.1/", "/a.wav"),
        ("http://127.0.0.1/a.wav?q=", "&r=1"),
        ("http://127.0.0.1/a.wav#", ""),
        ("http://127.0.0.1:", "/a.wav"),
        ("http://127.0.0.1", "/a.wav"),
        ("http://", "/a.wav"),
        ("http://", "@127.0.0.1/a.wav"),
        ("http:", "//127.0.0.1/a.wav"),
        ("", "http://127.0.0.1/a.wav"),
    ];
    around
        .into_iter()
        .map(|(front, back)| {
            let target = path.to_owned();
            Place {
                name: format!("a played URL, {front}…{back}"),
                build: Box::new(move |text| {
                    let url = [front.as_bytes(), text, back.as_bytes()].concat();
                    let body = [b"{\"urls\":[".as_slice(), &quoted(&url), b"]}"].concat();
                    Raw::new("POST", target.clone(), DEMO).body(body)
                }),
                // Encoded or refused: both are correct.
                accepts: Box::new(|_| true),
                refusals: &[400],
                is_exact: false,
                is_raw: false,
            }
        })
        .collect()
}

/// Returns the place within the text that speaks the number of members, which the conference carries.
fn in_count_template(path: &str) -> Place {
    let target = path.to_owned();
    Place {
        name: "the number of members as a text".to_owned(),
        build: Box::new(move |text| {
            let template = [text, b" {count} ", text].concat();
            let front = b"{\"announce_count\":{\"text\":".as_slice();
            let body = [front, &quoted(&template), b"}}"].concat();
            Raw::new("PATCH", target.clone(), DEMO).body(body)
        }),
        // The schema of the text states its length and the number.
        accepts: Box::new(|_| true),
        refusals: &[400],
        is_exact: false,
        is_raw: false,
    }
}

fn in_headers() -> Vec<Place> {
    let place = |name: &str, set: fn(&mut Raw, &[u8])| Place {
        name: name.to_owned(),
        build: Box::new(move |text| {
            let mut request = Raw::new("GET", "/api/v1/sessions", DEMO);
            set(&mut request, text);
            request
        }),
        accepts: Box::new(|_| false),
        // The server itself answers 400: with these bytes, the line is not a header.
        refusals: &[400, 401],
        is_exact: true,
        is_raw: true,
    };
    vec![
        place("X-App-ID", |request, text| request.app = text.to_vec()),
        place("X-API-Key", |request, text| request.key = text.to_vec()),
    ]
}

//! Keys of the store, and of TLS to it.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::*;
use crate::config::read::store_kind;

#[test]
fn store_kind_follows_from_url() {
    let check =
        |url: &str, kind: Option<StoreKind>| assert_eq!(store_kind(url).ok(), kind, "{url}");
    check("memory:", Some(StoreKind::Memory));
    for url in [
        "redis://h",
        "redis://h:1/0",
        "rediss://u:p@h:1/3",
        "redis://[::1]:6379",
    ] {
        check(url, Some(StoreKind::Redis));
    }
    for url in [
        "redis+sentinel://h1,h2/master/0",
        "redis+sentinel://u:p@h1:26379,[::1]:1/m",
        "redis+sentinel://h1/m?sentinel_password=p",
    ] {
        check(url, Some(StoreKind::Sentinel));
    }
    check("redis+cluster://h1:1,h2:2", Some(StoreKind::Cluster));
    check("rediss+sentinel://h1,h2/m", Some(StoreKind::Sentinel));
    check("rediss+cluster://h1:1,h2:2", Some(StoreKind::Cluster));
    for url in [
        "rediss://h/0#insecure",
        "rediss+sentinel://h/m#insecure",
        "rediss+cluster://h#insecure",
        "rediss+cluster://h/0",
        "",
        "memory",
        "memory://",
        "redis:",
        "redis://",
        "redis://h/x",
        "redis://h1,h2/0",
        "http://h",
        "redis+sentinel://h1,h2",
        "redis+sentinel://h1,/m/0",
        "redis+cluster://",
        "redis+cluster://h/0",
    ] {
        check(url, None);
    }
}

#[test]
fn invalid_store_url_is_reported_at_start() {
    for (url, ok) in [
        ("memory:", true),
        ("redis://:geheim@h:1/3", true),
        ("redis+sentinel://:geheim@h1:1,h2/main/3", true),
        ("redis+cluster://:geheim@h1:1,h2:2", true),
        ("rediss://:geheim@h:1/3#insecure", false),
        ("rediss+x://:geheim@h:1/3", false),
        ("redis+sentinel://:geheim@h1:1,h2", false),
        ("redis+sentinel://h1/m?password=geheim", false),
        ("redis+cluster://:geheim@h1:1,h2:2/3", false),
    ] {
        let found = problems("", &[("ROOMKEEPER_STORE__URL", url)]);
        assert_eq!(found.is_empty(), ok, "{url}: {found:?}");
        assert!(!found.join("").contains("geheim"), "{found:?}");
    }
}

/// A certificate and its key, in PEM form.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["redis.example".to_owned()]).unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    (
        pem("CERTIFICATE", made.cert.der()),
        pem("PRIVATE KEY", &made.signing_key.serialize_der()),
    )
}

#[test]
fn tls_settings_are_read_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let ((cert, key), (ca, other)) = (certificate(), certificate());
    let secret = key.lines().nth(1).unwrap();
    let (ca, cert) = (file("ca.pem", &ca), file("cert.pem", &cert));
    let (other, inline) = (file("other.key", &other), key.clone());
    let cut = file("cut.key", key.split("-----END").next().unwrap());
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad = file("bad.pem", bad);
    let key = file("cert.key", &key);
    let (empty, missing) = (file("empty.pem", ""), format!("{key}/missing"));
    const TLS: &str = "rediss://:geheim@h:1/3";
    let no_effect = |key: &str| {
        format!("store.{key}: has no effect: store.url has no TLS, which begins with rediss")
    };
    for (url, given, expected) in [
        (TLS, vec![("CA", &ca)], vec![]),
        (
            TLS,
            vec![("CA", &ca), ("CERT", &cert), ("KEY", &key)],
            vec![],
        ),
        (
            "redis://h",
            vec![("CA", &ca), ("KEY", &key)],
            vec![no_effect("tls_ca"), no_effect("tls_key")],
        ),
        (
            "memory:",
            vec![("CERT", &cert)],
            vec![no_effect("tls_cert")],
        ),
        (
            TLS,
            vec![("CA", &ca), ("CERT", &cert)],
            vec!["store.tls_key: is required with store.tls_cert".to_owned()],
        ),
        (
            TLS,
            vec![("CA", &ca), ("KEY", &key)],
            vec!["store.tls_cert: is required with store.tls_key".to_owned()],
        ),
        (
            TLS,
            vec![("CA", &ca), ("CERT", &cert), ("KEY", &other)],
            vec!["store.tls_key: is not the private key of store.tls_cert".to_owned()],
        ),
        (
            TLS,
            vec![("CA", &missing), ("CERT", &empty), ("KEY", &cert)],
            vec![
                "store.tls_ca: file cannot be read: Not a directory (os error 20)".to_owned(),
                "store.tls_cert: file has no certificate in PEM form".to_owned(),
                "store.tls_key: file has no private key in PEM form, or an encrypted one"
                    .to_owned(),
            ],
        ),
        (
            TLS,
            vec![("CA", &bad), ("CERT", &cut), ("KEY", &cut)],
            vec![
                "store.tls_ca: certificate 1 is not usable".to_owned(),
                "store.tls_cert: file is not valid PEM".to_owned(),
                "store.tls_key: file has no private key in PEM form, or an encrypted one"
                    .to_owned(),
            ],
        ),
        (
            TLS,
            vec![("CA", &ca), ("CERT", &inline), ("KEY", &inline)],
            vec![
                "store.tls_cert: expected the path of a file, found its content".to_owned(),
                "store.tls_key: expected the path of a file, found its content".to_owned(),
            ],
        ),
    ] {
        let mut env = vec![("ROOMKEEPER_STORE__URL".to_owned(), url.to_owned())];
        for (key, value) in given {
            env.push((format!("ROOMKEEPER_STORE__TLS_{key}"), value.clone()));
        }
        let loaded = Config::from_text(MINIMAL, env);
        let shown = match &loaded {
            Ok(config) => format!("{config:?} {}", config.summary()),
            Err(errors) => format!("{errors} {errors:?}"),
        };
        assert!(
            !shown.contains("geheim") && !shown.contains(secret),
            "{shown}"
        );
        let found = loaded.map_or_else(|errors| errors.to_string(), |_| String::new());
        assert_eq!(found, expected.join("\n"));
    }
}

#[test]
fn summary_shows_files_of_tls_settings() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, _) = certificate();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, ca).unwrap();
    let path = path.display().to_string();
    let env = [
        ("ROOMKEEPER_STORE__URL", "rediss+cluster://:geheim@h"),
        ("ROOMKEEPER_STORE__TLS_CA", &path),
    ];
    let shown = load(MINIMAL, &env).unwrap().summary();
    let expected = format!(
        "store: rediss+cluster://[REDACTED]@h, timeout 1s, TLS, trusts {path}, no client certificate\n"
    );
    assert!(shown.contains(&expected), "{shown}");
}

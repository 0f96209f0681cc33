use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use farm_transport::{Authority, Connection, Credentials, Endpoint, Error, Expected, Result, Role};
use tokio::time::timeout;

use crate::pair::{LOOPBACK, SOON, credentials, identity};

/// What each side gets of a handshake: the dialler, then the listener.
async fn shake(
    listener: &Credentials,
    dialler: &Credentials,
    expected: &Expected,
) -> (Result<Connection>, Result<Connection>) {
    let listener = Endpoint::bind(LOOPBACK, listener).unwrap();
    let dialler = Endpoint::dialing(dialler).unwrap();
    let address = listener.local_address().unwrap();
    let both = async {
        tokio::join!(dialler.connect(address, expected), async {
            listener.accept().await.unwrap().finish().await
        })
    };
    timeout(SOON, both).await.unwrap()
}

fn rejection(result: Result<Connection>) -> String {
    match result {
        Err(Error::Rejected { reason, .. }) => reason,
        other => panic!("expected a rejection: {other:?}"),
    }
}

fn refusal(result: Result<Connection>) -> String {
    match result {
        Err(Error::Refused { reason, .. }) => reason,
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_listener_of_another_authority_is_rejected() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let listener = credentials(&theirs, Role::Coordinator, "farm");
    let dialler = credentials(&ours, Role::Worker, "w1");
    let (dialled, accepted) = shake(&listener, &dialler, &Expected::any(Role::Coordinator)).await;
    let words = "it was not issued by this farm's certificate authority";
    assert_eq!(rejection(dialled), words);
    assert_eq!(refusal(accepted), words);
}

#[tokio::test]
async fn a_dialler_of_another_authority_is_rejected() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let listener = credentials(&ours, Role::Coordinator, "farm");
    // It trusts the listener but was issued elsewhere.
    let directory = tempfile::tempdir().unwrap();
    credentials(&theirs, Role::Client, "eve").save(directory.path()).unwrap();
    let other = tempfile::tempdir().unwrap();
    listener.save(other.path()).unwrap();
    std::fs::copy(other.path().join("ca.pem"), directory.path().join("ca.pem")).unwrap();
    let dialler = Credentials::load(directory.path()).unwrap();

    let (dialled, accepted) = shake(&listener, &dialler, &Expected::any(Role::Coordinator)).await;
    let words = "it was not issued by this farm's certificate authority";
    assert_eq!(rejection(accepted), words);
    // The dialler's own handshake is done before its certificate is looked at.
    let first = match dialled {
        Err(error) => error,
        Ok(connection) => timeout(SOON, connection.accept()).await.unwrap().unwrap_err(),
    };
    assert!(matches!(&first, Error::Refused { reason, .. } if reason == words), "{first:?}");
}

#[tokio::test]
async fn somebody_else_than_expected_is_rejected() {
    let authority = Authority::new().unwrap();
    let worker = credentials(&authority, Role::Worker, "w1");
    let client = credentials(&authority, Role::Client, "me");
    let (dialled, _) = shake(&worker, &client, &Expected::any(Role::Coordinator)).await;
    assert_eq!(rejection(dialled), "it belongs to worker `w1`, but a coordinator was expected");
    let (dialled, _) = shake(&worker, &client, &Expected::named(Role::Worker, "w2")).await;
    assert_eq!(rejection(dialled), "it belongs to worker `w1`, but worker `w2` was expected");
    let (dialled, accepted) = shake(&worker, &client, &Expected::any(Role::Worker)).await;
    assert_eq!(dialled.unwrap().peer(), &identity(Role::Worker, "w1"));
    assert_eq!(accepted.unwrap().peer(), &identity(Role::Client, "me"));
}

#[tokio::test]
async fn a_client_cannot_pose_as_a_listener() {
    let authority = Authority::new().unwrap();
    let client = credentials(&authority, Role::Client, "me");
    let (dialled, _) = shake(&client, &client, &Expected::any(Role::Client)).await;
    rejection(dialled);
}

#[tokio::test]
async fn certificates_out_of_time_are_rejected() {
    let authority = Authority::new().unwrap();
    let dialler = credentials(&authority, Role::Client, "me");
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let farm = identity(Role::Coordinator, "farm");
    let old = authority.issue_between(&farm, now - 2 * hour, now - hour).unwrap();
    let (dialled, _) = shake(&old, &dialler, &Expected::any(Role::Coordinator)).await;
    assert_eq!(rejection(dialled), "it has expired");
    let early = authority.issue_between(&farm, now + hour, now + 2 * hour).unwrap();
    let (dialled, _) = shake(&early, &dialler, &Expected::any(Role::Coordinator)).await;
    assert_eq!(rejection(dialled), "it is not valid yet; does a clock go wrong?");
}

#[tokio::test]
async fn authority_and_credentials_survive_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let (authority_at, client_at) = (directory.path().join("ca"), directory.path().join("client"));
    Authority::new().unwrap().save(&authority_at).unwrap();
    let authority = Authority::load(&authority_at).unwrap();
    let listener = credentials(&authority, Role::Coordinator, "farm");
    let client = credentials(&Authority::load(&authority_at).unwrap(), Role::Client, "me");
    client.save(&client_at).unwrap();
    // Saving again replaces.
    client.save(&client_at).unwrap();
    let loaded = Credentials::load(&client_at).unwrap();
    assert_eq!(loaded.identity(), &identity(Role::Client, "me"));

    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&client_at), 0o700);
    assert_eq!(mode(&client_at.join("key.pem")), 0o600);
    assert_eq!(mode(&authority_at.join("ca-key.pem")), 0o600);
    assert_eq!(std::fs::read_dir(&client_at).unwrap().count(), 3);

    let (dialled, accepted) = shake(&listener, &loaded, &Expected::any(Role::Coordinator)).await;
    dialled.unwrap();
    accepted.unwrap();
}

#[test]
fn files_that_hold_something_else_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let missing = Credentials::load(path).unwrap_err().to_string();
    assert_eq!(missing, format!("cannot use `{}`", path.join("ca.pem").display()));

    let authority = Authority::new().unwrap();
    authority.save(path).unwrap();
    credentials(&authority, Role::Client, "me").save(path).unwrap();
    for (name, text) in
        [("cert.pem", ""), ("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    {
        std::fs::write(path.join(name), text).unwrap();
        let error = Credentials::load(path).unwrap_err().to_string();
        assert!(error.contains("cert.pem` is not usable: "), "{error}");
    }
    // A key that belongs to something else.
    let key = std::fs::read(path.join("key.pem")).unwrap();
    std::fs::write(path.join("ca-key.pem"), key).unwrap();
    let error = Authority::load(path).unwrap_err().to_string();
    assert!(error.ends_with("it is not the key of the certificate beside it"), "{error}");
}

#[test]
fn debug_output_shows_no_key() {
    let authority = Authority::new().unwrap();
    let text = format!("{authority:?} {:?}", credentials(&authority, Role::Client, "me"));
    assert!(!text.contains("PRIVATE") && !text.contains("key"), "{text}");
}

#[tokio::test]
async fn nobody_is_called_something_that_could_be_misread() {
    let mut odd = identity(Role::Worker, "w1");
    odd.name = "w1?scope=other".to_owned();
    assert!(matches!(Authority::new().unwrap().issue(&odd), Err(Error::Identity(_))));
}

//! What the mirror serves.

use super::*;

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn index(files: &Files) -> Value {
    serde_json::from_slice(&files["index.yaml"]).unwrap()
}

#[test]
fn every_file_of_the_stand_ins_is_embedded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts");
    let mut files = Files::new();
    read(&root, &root, &mut files).unwrap();
    let embedded: Files = STAND_INS
        .iter()
        .map(|(chart, file, text)| (format!("{chart}/{file}"), text.as_bytes().to_vec()))
        .collect();
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        embedded.keys().collect::<Vec<_>>()
    );
    assert!(files == embedded);
}

#[test]
fn stand_ins_are_packaged_to_the_same_bytes() {
    let once = files(&packages(None).unwrap());
    assert!(once == files(&packages(None).unwrap()));
    let entry = &index(&once)["entries"]["argo-cd"][0];
    assert_eq!(entry["version"], "10.1.1");
    assert_eq!(entry["urls"][0], "argo-cd-10.1.1.tgz");
    let digest = hex::encode(Sha256::digest(&once["argo-cd-10.1.1.tgz"]));
    assert_eq!(entry["digest"], digest);
}

#[test]
fn upstream_charts_take_the_place_of_stand_ins() {
    let folder = tempfile::tempdir().unwrap();
    let chart = "name: argo-cd\nversion: 99.0.0\napiVersion: v2\n";
    write(folder.path(), "argo-helm/charts/argo-cd/Chart.yaml", chart);
    write(
        folder.path(),
        "argo-helm/charts/argo-cd/templates/x.yaml",
        "a: b\n",
    );
    let served = files(&packages(Some(folder.path())).unwrap());
    assert_eq!(
        index(&served)["entries"]["argo-cd"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(index(&served)["entries"]["argo-cd"][0]["version"], "99.0.0");

    // What was packaged can be given as a package too, beside stand-ins.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("a.tgz"), &served["argo-cd-99.0.0.tgz"]).unwrap();
    assert_eq!(files(&packages(Some(other.path())).unwrap()).len(), 2);
}

#[test]
fn a_dependency_that_is_off_and_absent_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let dependency = "{name: ha, version: 1.0.0, condition: ha.enabled}";
    let chart = format!("name: c\nversion: 1.0.0\ndependencies: [{dependency}]\n");
    write(folder.path(), "c/Chart.yaml", &chart);
    write(folder.path(), "c/values.yaml", "ha: {enabled: false}\n");
    let all = packages(Some(folder.path())).unwrap();
    assert_eq!(all[0].chart["dependencies"], json!([]));

    write(folder.path(), "c/values.yaml", "ha: {enabled: true}\n");
    let error = format!("{:#}", packages(Some(folder.path())).unwrap_err());
    assert!(
        error.contains("its dependencies ha are not in its folder charts/"),
        "{error}"
    );

    write(
        folder.path(),
        "c/charts/ha/Chart.yaml",
        "name: ha\nversion: 1.0.0\n",
    );
    let all = packages(Some(folder.path())).unwrap();
    assert_eq!(all[0].chart["dependencies"].as_array().unwrap().len(), 1);
}

#[test]
fn a_folder_without_charts_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = packages(Some(folder.path())).unwrap_err().to_string();
    assert!(error.contains("has no chart in it"), "{error}");
}

#[tokio::test]
async fn the_repository_is_served() {
    let mirror = Mirror::start(None).await.unwrap();
    let url = format!("{}/index.yaml", mirror.url());
    let index: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
    let file = index["entries"]["argo-cd"][0]["urls"][0].as_str().unwrap();
    let package = reqwest::get(format!("{}/{file}", mirror.url()))
        .await
        .unwrap();
    assert_eq!(package.status(), 200);
    let missing = reqwest::get(format!("{}/none.tgz", mirror.url()))
        .await
        .unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(mirror.charts(), ["argo-cd 10.1.1 (stand-in)"]);
}

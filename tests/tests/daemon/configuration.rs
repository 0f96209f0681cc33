//! A mistake in farm.toml is named by whichever process reads the file.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::topology::Topology;

#[test]
fn an_insane_configuration_is_an_error_that_names_the_file() {
    let farm = Farm::of(Topology::Daemon);
    let file = farm.scratch("farm.toml");
    std::fs::write(&file, "[regsitry.\"docker.io\"]\nmirrors = []\n").unwrap();
    let context = Context::new("FROM scratch\n");
    let build = farm.build(context.path());
    let servers = [
        farm.command(&["coordinator", "--certificates", "/nonexistent"]),
        farm.command(&["worker", "--coordinator", "127.0.0.1:1", "--certificates", "/nonexistent"]),
    ];
    for command in [build].into_iter().chain(servers) {
        let outcome = command.option("--config", &file).run().says(&["farm.toml", "regsitry"]);
        assert!([Some(2), Some(3)].contains(&outcome.status), "{}", outcome.log);
    }
}

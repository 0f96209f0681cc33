//! What whoever owns the terminal asks of the console, or tells it in a word.

use farm_model::BuildId;

use super::place::{Place, View};
use super::{App, Need, Position};
use crate::state::Farm;

impl App {
    /// What is known of the farm.
    pub fn farm(&self) -> &Farm {
        &self.world.farm
    }

    /// Shows a word to the person for a while.
    pub fn tell(&mut self, word: &str, now: i64) {
        self.say(word, false, now);
    }

    /// A recording has been played to this point.
    pub fn played(&mut self, position: Position) {
        if self.position.replace(position) != Some(position) {
            self.want(Need::Soon);
        }
    }

    /// Where in a recording the farm is.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Goes to a view; that of a build shows this one.
    pub fn open(&mut self, view: View, build: Option<BuildId>, now: i64) {
        let place = match (view, build) {
            (View::Overview, _) => Place::Overview,
            (View::Workers, _) => Place::Workers(None),
            (View::Cache, _) => Place::Cache,
            (View::Images, _) => Place::Images(None),
            (View::Actions, _) => Place::Actions,
            (View::Stages, Some(build)) => Place::Stages(build, None),
            (View::Log, Some(build)) => Place::Log(build, None),
            (View::Stages | View::Log, None) => {
                return self.say(format!("the view `{}` is of one build", view.name()), true, now);
            }
        };
        self.go(place, now);
    }
}

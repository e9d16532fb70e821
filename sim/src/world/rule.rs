//! A rule that says where calls and messages go: the program behind `on_route`, in a simulated world.

use std::sync::Arc;

use strowger_core::door::{Input, RouteAnswer, RouteQuery};

use super::World;

pub(super) type Rule = Box<dyn FnMut(&RouteQuery) -> RouteAnswer>;

impl World {
    /// Asks this rule where each call and each message goes, from now on and after every restart; calls are enabled if they
    /// are not yet. It is asked once for each, and answers after [`thinks`](World::thinks). A rule that looks at nothing but
    /// the query, and at what it remembers, keeps the world the same for the same seed.
    pub fn on_route(&mut self, rule: impl FnMut(&RouteQuery) -> RouteAnswer + 'static) {
        self.rule = Some(Box::new(rule));
        let calls = self.config.calls.get_or_insert_default();
        if !calls.ask_route {
            calls.ask_route = true;
            self.settings = self.config.clone().validate().expect("the configuration of the world");
            self.feed(Input::Reload(Arc::clone(&self.settings)));
        }
    }

    pub(super) fn routed(&mut self, query: &RouteQuery) -> RouteAnswer {
        self.rule.as_mut().map_or(RouteAnswer::Default, |rule| rule(query))
    }
}

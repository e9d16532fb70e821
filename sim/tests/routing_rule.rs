//! The example of a routing rule that is tried out in simulation: the one on call is reached in each of some nights.

#[path = "../examples/routing_rule.rs"]
#[allow(dead_code)] // Its main is not called.
mod routing_rule;

#[test]
fn the_rule_of_the_example_reaches_the_one_on_call() {
    for seed in 1..=10 {
        routing_rule::night(seed).finish();
    }
}

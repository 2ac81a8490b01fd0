"""What this package adds to lightrec. Nothing heavy is imported here."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"hello": "lightrec_hello.domain:HelloDomain"})
lightrec_readers = gives({"HelloReader": "lightrec_hello.reader:HelloReader"})
lightrec_encoders = gives({"HelloEncoder": "lightrec_hello.encoder:HelloEncoder"})
lightrec_rewards = gives({"HelloReward": "lightrec_hello.reward:HelloReward"})
lightrec_reward_learners = gives(
    {"HelloRewardLearner": "lightrec_hello.reward_learner:HelloRewardLearner"}
)
lightrec_simulators = gives({"HelloWorld": "lightrec_hello.world:HelloWorld"})
lightrec_policies = gives({"HelloPolicy": "lightrec_hello.policy:HelloPolicy"})
lightrec_learners = gives({"HelloLearner": "lightrec_hello.learner:HelloLearner"})
lightrec_components = gives(
    {
        "HelloTower": "lightrec_hello.tower:HelloTower",
        "HelloLoss": "lightrec_hello.loss:HelloLoss",
    }
)
lightrec_evaluators = gives({"HelloEvaluator": "lightrec_hello.evaluator:HelloEvaluator"})
lightrec_commands = gives({"hello": "lightrec_hello.command:hello"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])

"""What this package adds to lightrec."""

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_components = gives(
    {
        "GAIL": "lightrec_lab.adversarial:GAIL",
        "AIRL": "lightrec_lab.adversarial:AIRL",
        "GRU": "lightrec_lab.towers:GRU",
        "MeanPooling": "lightrec_lab.towers:MeanPooling",
        "SQIL": "lightrec_lab.imitation:SQIL",
        "ReplayPolicyModule": "lightrec_lab.replay:ReplayPolicyModule",
    }
)
lightrec_slots = gives({"replay_learners": "lightrec.learners.algorithms:Learner"})
lightrec_replay_learners = gives({"soft-q": "lightrec_lab.replay:SoftQ"})

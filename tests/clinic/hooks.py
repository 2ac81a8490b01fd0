"""What the package adds."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1


def _of(**modules):
    return gives({n: f"lightrec_clinic.{module}:{n}" for n, module in modules.items()})


lightrec_domains = gives({"clinic": "lightrec_clinic.domain:Clinic"})
lightrec_commands = gives({"clinic": "lightrec_clinic.command:count"})
lightrec_encoders = _of(LetterShares="encoder")
lightrec_rewards = _of(Calm="reward")
lightrec_simulators = _of(Waiting="simulator")
lightrec_policies = _of(Habit="policy")
lightrec_evaluators = _of(Minors="evaluator")
lightrec_components = _of(Fading="tower", MeanVisits="stage", VisitData="stage")

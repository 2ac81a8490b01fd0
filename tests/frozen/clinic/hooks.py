"""Names of what the package adds."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1


def _of(module, *names):
    return {name: f"lightrec_clinic.{module}:{name}" for name in names}


lightrec_domains = gives({"clinic": "lightrec_clinic.domain:Clinic"})
lightrec_commands = gives({"clinic": "lightrec_clinic.stage:count"})
lightrec_encoders = gives(_of("parts", "LetterShares"))
lightrec_rewards = gives(_of("parts", "Calm"))
lightrec_simulators = gives(_of("parts", "Waiting"))
lightrec_policies = gives(_of("parts", "Habit"))
lightrec_evaluators = gives(_of("parts", "Minors"))
lightrec_components = gives(_of("parts", "Fading") | _of("stage", "MeanVisits", "VisitData"))

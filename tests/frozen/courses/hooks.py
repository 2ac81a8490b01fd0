"""What the package of courses adds; it states no version."""

from lightrec.hookspecs import gives

lightrec_domains = gives({"courses": "lightrec_courses.parts:Courses"})
lightrec_policies = gives({"Syllabus": "lightrec_courses.parts:Syllabus"})
lightrec_rewards = gives({"Longer": "lightrec_courses.parts:Longer"})
lightrec_components = gives(
    {name: f"lightrec_courses.parts:{name}" for name in ("Gated", "Logit", "Finished", "Shares")}
)

"""Health for lightrec: allergens and contraindications, and a reward that weighs health."""

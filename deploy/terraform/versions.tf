# The root is thin: it makes what modules/plan has decided. Terraform from 1.9, or OpenTofu.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.45"
    }
  }
}

provider "google" {
  credentials = module.plan.credentials_path
  project     = var.my_project_id
  region      = module.plan.region
  zone        = var.zone
}
